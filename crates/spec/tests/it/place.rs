//! Line and column are right in every format, for errors of syntax and of meaning.

use crate::site::{Site, shown};

fn told(file: &str, text: &str) -> String {
    let site = Site::new();
    site.write(&format!("jobs/{file}"), text);
    shown(&site.load().1)
}

#[test]
fn toml() {
    insta::assert_snapshot!(told("a.toml", "type = 'command'\ncommand = 'true'\nschedule = ['@hourly', '0 9 * * 1-9']\n"), @r#"
    jobs/a.toml:3:35: error: schedule[1]: day of week: 9 is out of range, it goes from 0 to 7
      hint: Sunday is 0
    "#);
    insta::assert_snapshot!(told("a.toml", "type = 'command'\ncomand = 'true'\n"), @r#"
    jobs/a.toml:1:8: error: type: a job of type `command` needs a `command`
    jobs/a.toml:2:1: warning: unknown field `comand`
      hint: did you mean `command`?
    "#);
    insta::assert_snapshot!(told("a.toml", "type = 'command'\ntype = 'script'\n"), @r"
    jobs/a.toml:2:1: error: invalid TOML: the key `type` is there twice
      hint: keep one of the two
    ");
    insta::assert_snapshot!(told("a.toml", "[environment]\n[environment]\n"), @r"
    jobs/a.toml:2:2: error: invalid TOML: the key `environment` is there twice
      hint: keep one of the two
    ");
    insta::assert_snapshot!(told("a.toml", "type = command\n"), @"jobs/a.toml:1:8: error: invalid TOML: string values must be quoted, expected literal string");
    insta::assert_snapshot!(told("a.toml", "type = 'command'\ncommand = '''\ntrue'''\ntimeout = 5\n[environment]\nA = []\n"), @r#"
    jobs/a.toml:4:11: error: timeout: expected a duration with its unit, found a number
      hint: write `5s` for seconds or `5m` for minutes, in quotes
    jobs/a.toml:6:5: error: environment.A: expected text, found a list
    "#);
}

#[test]
fn yaml() {
    insta::assert_snapshot!(told("a.yaml", "type: command\ncommand: 'true'\nschedule:\n  - '@hourly'\n  - 0 9 * * 1-9\n"), @r#"
    jobs/a.yaml:5:15: error: schedule[1]: day of week: 9 is out of range, it goes from 0 to 7
      hint: Sunday is 0
    "#);
    insta::assert_snapshot!(told("a.yml", "type: command\ncomand: x\n"), @r#"
    jobs/a.yml:1:7: error: type: a job of type `command` needs a `command`
    jobs/a.yml:2:1: warning: unknown field `comand`
      hint: did you mean `command`?
    "#);
    insta::assert_snapshot!(told("a.yaml", "type: command\ntype: script\n"), @"jobs/a.yaml:2:1: error: invalid YAML: duplicate mapping key: type");
    insta::assert_snapshot!(told("a.yaml", "type: [command\n"), @"jobs/a.yaml:1:7: error: invalid YAML: unclosed bracket '['");
    let two = "type: command\n---\ntype: command\n";
    insta::assert_snapshot!(told("a.yaml", two), @"jobs/a.yaml:3:1: error: invalid YAML: a file declares one thing, and here a second document begins");
    insta::assert_snapshot!(told("a.yaml", "# nothing\n"), @r#"
    jobs/a.yaml: error: the file is empty
      hint: a file that is still being written is read again when it changes
    "#);
    insta::assert_snapshot!(told("a.yaml", "type: command\ncommand: \"true\"\nenabled: yes\ntimeout: 5\n"), @r#"
    jobs/a.yaml:3:10: error: enabled: expected a boolean (true or false), found text
    jobs/a.yaml:4:10: error: timeout: expected a duration with its unit, found a number
      hint: write `5s` for seconds or `5m` for minutes, in quotes
    "#);
}

#[test]
fn characters_are_counted_not_bytes() {
    insta::assert_snapshot!(told("a.json", "\u{feff}{\"type\": \"command\", \"command\": \"ä→𝄞\", \"schedule\": \"0 99 * * *\"}"), @r#"
    jobs/a.json:1:54: error: schedule: hour: 99 is out of range, it goes from 0 to 23
      hint: midnight is hour 0
    "#);
    insta::assert_snapshot!(told("a.json", "{\"type\": \"command\", \"command\": \"x\",\r\n \"schedule\": \"\\u0030 99 * * *\"}"), @r#"
    jobs/a.json:2:14: error: schedule: hour: 99 is out of range, it goes from 0 to 23
      hint: midnight is hour 0
    "#);
}
