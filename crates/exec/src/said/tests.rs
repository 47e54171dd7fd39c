use proptest::prelude::*;

use super::*;

const COLOURED: &str = "\u{1b}[31m╷\u{1b}[0m\u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[0m\u{1b}[1m\u{1b}[31mError: \u{1b}[0m\u{1b}[0m\u{1b}[1mReference to undeclared resource\u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[0m\u{1b}[0m  on main.tf line 2, in output \"x\":\n\u{1b}[31m│\u{1b}[0m \u{1b}[0m   2:   value = \u{1b}[4mterraform_data.nope\u{1b}[0m.id\u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[0mA managed resource \"terraform_data\" \"nope\" has not been declared in the root\n\u{1b}[31m│\u{1b}[0m \u{1b}[0mmodule.\n\u{1b}[31m╵\u{1b}[0m\u{1b}[0m\n";

#[test]
fn a_boxed_error_becomes_a_sentence() {
    assert_eq!(
        error(COLOURED).unwrap(),
        "Reference to undeclared resource (main.tf:2): A managed resource \"terraform_data\" \"nope\" has not been \
         declared in the root module."
    );
}

#[test]
fn of_several_errors_the_first_is_told() {
    let output = "noise\n╷\n│ Error: First\n│ \n│ One.\n╵\n╷\n│ Error: Second\n╵\n╷\n│ Error: Third\n╵\n";
    assert_eq!(error(output).unwrap(), "First: One. (and 2 more errors)");
}

#[test]
fn a_warning_after_the_error_is_not_part_of_it() {
    let output = "Error: Bad\n\nBecause.\n\nWarning: Old\n\nDo not.\n";
    assert_eq!(error(output).unwrap(), "Bad: Because.");
}

#[test]
fn without_an_error_the_last_line_is_told() {
    assert_eq!(error("starting\nmake: *** [all] Error 2\n\n").unwrap(), "make: *** [all] Error 2");
    assert_eq!(error("\n \n"), None);
}

#[test]
fn long_messages_are_cut() {
    let message = error(&format!("Error: {}", "x".repeat(2_000))).unwrap();
    assert_eq!(message.chars().count(), LONGEST);
    assert!(message.ends_with('…'));
}

#[test]
fn the_holder_of_a_lock_is_read_from_the_output() {
    let output = "╷\n│ \u{1b}[31mError: \u{1b}[0mError acquiring the state lock\n│ \n│ Error message: resource temporarily unavailable\n│ Lock Info:\n│   ID:        3c1f\n│   Path:      terraform.tfstate\n│   Operation: OperationTypeApply\n│   Who:       carol@host\n│   Version:   1.11.4\n│   Created:   2025-01-15 10:30:00 +0000 UTC\n│   Info:      \n╵\n";
    let holder = LockHolder::in_output(output).unwrap();
    assert_eq!(
        holder.sentence(),
        "lock 3c1f, held by carol@host since 2025-01-15 10:30:00 +0000 UTC (OperationTypeApply)"
    );
    assert_eq!(LockHolder::in_output("ID: 3"), None);
}

#[test]
fn the_holder_of_a_lock_is_read_from_the_file() {
    let text = r#"{"ID":"3c1f","Operation":"OperationTypeApply","Info":"","Who":"carol@host","Version":"1.11.4","Created":"2025-01-15T10:30:00Z","Path":"terraform.tfstate"}"#;
    let holder = LockHolder::in_lock_file(text).unwrap();
    assert_eq!(holder.sentence(), "lock 3c1f, held by carol@host since 2025-01-15T10:30:00Z (OperationTypeApply)");
    assert_eq!(LockHolder::in_lock_file(""), None);
}

proptest! {
    #[test]
    fn any_output_is_read_without_panic(output in any::<String>()) {
        if let Some(message) = error(&output) {
            prop_assert!(message.chars().count() <= LONGEST);
            prop_assert!(!message.contains('\u{1b}'), "an escape was left");
        }
        let _ = LockHolder::in_output(&output);
    }
}
