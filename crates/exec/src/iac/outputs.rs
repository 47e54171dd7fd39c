//! Reads the outputs of a deployment.
//!
//! Where the state lies beside the code in plain text, as it does unless the code says otherwise, it is read from there:
//! starting the tool for that takes as long as a plan of a small deployment. In every other case the tool is asked.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use piton_logs::Redactor;
use piton_model::{Failure, Iac, Operation, OutputValue, Report};
use serde::Deserialize;
use serde_json::Value;

use super::tool::Workbench;
use crate::environment;
use crate::pass::Pass;
use crate::plain::open_plain;
use crate::step::Passed;
use crate::verdict::Doing;

type Outputs = BTreeMap<String, OutputValue>;

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    sensitive: bool,
    #[serde(default)]
    value: Value,
}

pub(super) async fn outputs(pass: &Pass<'_>, iac: &Iac) -> Result<Passed, Failure> {
    let bench = Workbench::open(pass, iac).await?;
    let outputs = after_success(&bench).await?;
    Ok(Passed::Done(Report { outputs, ..Report::default() }))
}

/// The work is done, and is not undone by outputs that cannot be read: that is a line in the log.
pub(super) async fn after_success(bench: &Workbench<'_>) -> Result<Option<Outputs>, Failure> {
    if bench.iac.operation == Operation::Destroy {
        return Ok(None);
    }
    match read(bench).await {
        Ok(outputs) => {
            let secrets = environment::secrets(&bench.pass.world.config.environment, &bench.iac.env);
            Ok(Some(redacted(outputs, &Redactor::new(secrets))))
        }
        Err(failure) => {
            let text = format!("the outputs are not known: {}", failure.message);
            let noted: Result<(), Failure> = async {
                let log = bench.log_after_plan().await?;
                bench.pass.note(&log, "outputs", &text).await
            }
            .await;
            if let Err(error) = noted {
                let run = bench.pass.input.run.id;
                tracing::warn!(%run, text, error = %error.message, "could not note that outputs are not known");
            }
            Ok(None)
        }
    }
}

/// What both tools have written since 2019.
const STATE_VERSION: u64 = 4;

/// The part of a state that tells of outputs. One that is encrypted has none of this in clear.
#[derive(Deserialize)]
struct State {
    version: u64,
    outputs: BTreeMap<String, Shown>,
}

/// The outputs in the state file. None where the tool has to be asked: the state may be elsewhere, or in another form.
fn in_state(dir: &Path) -> Option<Outputs> {
    // `init` leaves this where there is a backend, whatever the code says by now, and `workspace select` that.
    if [".terraform/terraform.tfstate", ".terraform/environment"].iter().any(|mark| dir.join(mark).exists()) {
        return None;
    }
    // A link may lead to what the code could not read itself; the tool, which is confined as the code is, could not either.
    let file = open_plain(&dir.join("terraform.tfstate")).ok()?;
    let state: State = serde_json::from_reader(BufReader::new(file)).ok()?;
    (state.version == STATE_VERSION).then(|| known(state.outputs))
}

/// Whether nothing that was asked for can have led the state elsewhere.
fn is_plain(bench: &Workbench<'_>) -> Result<bool, Failure> {
    let iac = bench.iac;
    let leads_away = |name: &String| name.starts_with("TF_CLI_ARGS") || name == "TF_DATA_DIR" || name == "TF_WORKSPACE";
    let asked = iac.commands.is_empty() && iac.init_flags.is_empty() && iac.plan_flags.is_empty();
    Ok(asked && !bench.environment()?.keys().any(leads_away))
}

async fn read(bench: &Workbench<'_>) -> Result<Outputs, Failure> {
    if is_plain(bench)? {
        let dir = bench.dir.clone();
        let found = tokio::task::spawn_blocking(move || in_state(&dir)).await;
        if let Some(outputs) = found.map_err(|error| crate::failing::task(&error))? {
            return Ok(outputs);
        }
    }
    let log = bench.log_after_plan().await?;
    let args = vec!["output".to_owned(), "-json".to_owned()];
    let shown = bench.pass.capture(&log, &bench.tool("outputs", Doing::Outputs, args)?).await?;
    parse(&shown).map_err(|error| crate::failing::permanent("outputs_failed", format!("not readable: {error}")))
}

fn parse(shown: &[u8]) -> Result<Outputs, serde_json::Error> {
    Ok(known(serde_json::from_slice(shown)?))
}

fn known(shown: BTreeMap<String, Shown>) -> Outputs {
    let outputs = shown.into_iter().map(|(name, Shown { sensitive, value })| {
        let value = if sensitive { Value::Null } else { value };
        (name, OutputValue { value, sensitive })
    });
    outputs.collect()
}

/// The outputs without what the log masks because it came with the environment: nobody is shown that, also where the code
/// does not say that it is secret. What the code does say is the tool's business, which insists on `nonsensitive`.
fn redacted(outputs: Outputs, redactor: &Redactor) -> Outputs {
    let told = |output: OutputValue| OutputValue { value: masked(output.value, redactor), ..output };
    outputs.into_iter().map(|(name, output)| (name, told(output))).collect()
}

fn masked(value: Value, redactor: &Redactor) -> Value {
    match value {
        Value::String(text) => redactor.redact(&text).into(),
        Value::Number(number) => {
            let text = number.to_string();
            let told = redactor.redact(&text);
            if told == text { Value::Number(number) } else { told.into() }
        }
        Value::Array(items) => items.into_iter().map(|item| masked(item, redactor)).collect(),
        Value::Object(members) => {
            let told = members.into_iter().map(|(key, member)| (redactor.redact(&key), masked(member, redactor)));
            Value::Object(told.collect())
        }
        Value::Null | Value::Bool(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_only_where_it_is_plain_and_here() {
        let plain = r#"{"version": 4, "serial": 7, "lineage": "x", "outputs": {
            "ip": {"value": "10.0.0.1", "type": "string"},
            "pw": {"value": "hunter2", "type": "string", "sensitive": true}}, "resources": [], "check_results": null}"#;
        let encrypted =
            r#"{"serial": 7, "lineage": "x", "meta": {}, "encrypted_data": "AAAA", "encryption_version": "v0"}"#;
        let read = |state: &str, mark: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("terraform.tfstate"), state).unwrap();
            if let Some(mark) = mark {
                std::fs::create_dir(dir.path().join(".terraform")).unwrap();
                std::fs::write(dir.path().join(mark), "{}").unwrap();
            }
            in_state(dir.path())
        };
        let outputs = read(plain, None).unwrap();
        assert_eq!(outputs["ip"], OutputValue { value: "10.0.0.1".into(), sensitive: false });
        assert_eq!(outputs["pw"], OutputValue { value: Value::Null, sensitive: true });
        assert!(read(plain, Some(".terraform/providers")).is_some());
        assert_eq!(read(plain, Some(".terraform/terraform.tfstate")), None);
        assert_eq!(read(plain, Some(".terraform/environment")), None);
        for other in [encrypted, r#"{"version": 3, "outputs": {}}"#, r#"{"version": 4}"#, "", "{"] {
            assert_eq!(read(other, None), None, "{other}");
        }
        assert_eq!(in_state(tempfile::tempdir().unwrap().path()), None);
        let (others, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(others.path().join("terraform.tfstate"), plain).unwrap();
        std::os::unix::fs::symlink(others.path().join("terraform.tfstate"), own.path().join("terraform.tfstate"))
            .unwrap();
        assert_eq!(in_state(own.path()), None, "somebody else's state is none of its business");
    }

    #[test]
    fn what_the_log_masks_is_in_no_output() {
        let redactor = Redactor::new(["TFVARsecret77", "48151623", "abc"].map(str::to_owned));
        let outputs = known(
            serde_json::from_value(serde_json::json!({
                "whole": {"value": "TFVARsecret77"},
                "within": {"value": {"urls": ["https://u:TFVARsecret77@h/", "abc"], "TFVARsecret77": [true, null]}},
                "numbers": {"value": [48_151_623, 42]},
            }))
            .unwrap(),
        );
        let told: BTreeMap<String, Value> =
            redacted(outputs, &redactor).into_iter().map(|(name, output)| (name, output.value)).collect();
        let wanted = serde_json::json!({
            "whole": "***",
            "within": {"urls": ["https://u:***@h/", "abc"], "***": [true, null]},
            "numbers": ["***", 42],
        });
        assert_eq!(serde_json::to_value(told).unwrap(), wanted, "shorter ones than the log masks are words");
    }

    #[test]
    fn sensitive_outputs_are_known_by_name_only() {
        let outputs = parse(
            br#"{"ip": {"sensitive": false, "type": "string", "value": "10.0.0.1"},
                 "pw": {"sensitive": true, "type": "string", "value": "hunter2"}}"#,
        )
        .unwrap();
        assert_eq!(outputs["ip"], OutputValue { value: "10.0.0.1".into(), sensitive: false });
        assert_eq!(outputs["pw"], OutputValue { value: Value::Null, sensitive: true });
    }
}
