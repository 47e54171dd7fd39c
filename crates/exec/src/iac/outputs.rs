//! Reads the outputs of a deployment.

use std::collections::BTreeMap;

use piton_model::{Failure, Iac, Operation, OutputValue, Report};
use serde::Deserialize;
use serde_json::Value;

use super::tool::Workbench;
use crate::pass::Pass;
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
        Ok(outputs) => Ok(Some(outputs)),
        Err(failure) => {
            let log = bench.log_after_plan().await?;
            bench.pass.note(&log, "outputs", &format!("the outputs are not known: {}", failure.message)).await?;
            Ok(None)
        }
    }
}

async fn read(bench: &Workbench<'_>) -> Result<Outputs, Failure> {
    let log = bench.log_after_plan().await?;
    let args = vec!["output".to_owned(), "-json".to_owned()];
    let shown = bench.pass.capture(&log, &bench.tool("outputs", Doing::Outputs, args)?).await?;
    parse(&shown).map_err(|error| crate::failing::permanent("outputs_failed", format!("not readable: {error}")))
}

fn parse(shown: &[u8]) -> Result<Outputs, serde_json::Error> {
    let shown: BTreeMap<String, Shown> = serde_json::from_slice(shown)?;
    Ok(shown
        .into_iter()
        .map(|(name, Shown { sensitive, value })| {
            let value = if sensitive { Value::Null } else { value };
            (name, OutputValue { value, sensitive })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
