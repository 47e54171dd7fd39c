//! The directories of deployments that people asked for, when they have been kept long enough.

use std::fs;
use std::io;
use std::path::Path;

use piton_model::{Action, Run, RunState, Source, SubjectKind};

use crate::iac::root_module;
use crate::plain::read_plain;
use crate::step::Exec;

/// A larger one is kept unread.
const LARGEST_STATE: u64 = 1 << 30;

/// Where tools keep state if the code says nothing about it.
const LOCAL_STATE: &str = "terraform.tfstate";

impl Exec {
    /// Removes the directory of an ended deployment; whether there was one. State that knows of something and lies
    /// nowhere else is kept: without it, nobody could ever change or destroy what was made.
    pub async fn retire(&self, run: &Run) -> io::Result<bool> {
        let Action::Iac(iac) = &*run.action else { return Ok(false) };
        let Source::Git(source) = &iac.source else { return Ok(false) };
        if run.subject.kind() != SubjectKind::Deployment || !matches!(run.state, RunState::Ended { .. }) {
            return Ok(false);
        }
        let directory = self.config().deployment_dir(&iac.deployment);
        let state = root_module(&directory, source).join(LOCAL_STATE);
        let removed = tokio::task::spawn_blocking(move || remove(&directory, &state));
        removed.await.map_err(io::Error::other)?
    }
}

/// Blocks.
fn remove(directory: &Path, state: &Path) -> io::Result<bool> {
    if !directory.is_dir() {
        return Ok(false);
    }
    let kept = directory.join(LOCAL_STATE);
    if knows_something(state) {
        fs::rename(state, &kept)?;
    }
    let mut gone = false;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path() == kept {
            continue;
        }
        gone = true;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    if !kept.exists() {
        fs::remove_dir(directory)?;
    }
    Ok(gone)
}

/// Whether a state lists resources. One that cannot be understood may.
fn knows_something(state: &Path) -> bool {
    // What somebody else's code made of that name is not followed.
    if !fs::symlink_metadata(state).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let Ok(text) = read_plain(state, LARGEST_STATE) else { return true };
    let resources = serde_json::from_slice::<serde_json::Value>(&text);
    !resources.is_ok_and(|state| state["resources"].as_array().is_some_and(Vec::is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_after(state: Option<&str>) -> Vec<String> {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("d");
        fs::create_dir_all(directory.join("code/env")).unwrap();
        fs::write(directory.join("code/env/main.tf"), "").unwrap();
        fs::write(directory.join("tofu.rc"), "").unwrap();
        let file = directory.join("code/env").join(LOCAL_STATE);
        if let Some(text) = state {
            fs::write(&file, text).unwrap();
        }
        assert!(remove(&directory, &file).unwrap());
        assert!(!remove(&directory, &file).unwrap(), "the second time nothing is left to do");
        let names = fs::read_dir(&directory).into_iter().flatten();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn state_that_is_the_only_one_stays() {
        let nothing: [&str; 0] = [];
        assert_eq!(left_after(None), nothing);
        assert_eq!(left_after(Some(r#"{"version":4,"resources":[]}"#)), nothing);
        assert_eq!(left_after(Some(r#"{"version":4,"resources":[{"type":"x"}]}"#)), [LOCAL_STATE]);
        assert_eq!(left_after(Some("encrypted")), [LOCAL_STATE]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::write(&outside, "x").unwrap();
        let directory = place.path().join("d");
        fs::create_dir_all(directory.join("code")).unwrap();
        let state = directory.join("code").join(LOCAL_STATE);
        std::os::unix::fs::symlink(&outside, &state).unwrap();
        assert!(remove(&directory, &state).unwrap());
        assert!(outside.exists() && !directory.exists());
    }
}
