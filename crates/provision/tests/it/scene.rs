//! What all tests need: a provisioner on a clock of the test's own, and requests.

use std::sync::Arc;
use std::time::Duration;

use piton_model::{Answer, JobType};
use piton_model::{Failure, FailureClass};
use piton_provision::{CallFailed, Provisioner, Request, Settings, Targets};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::{ManualClock, START};

pub struct Scene {
    pub clock: Arc<ManualClock>,
    pub provisioner: Arc<Provisioner>,
    pub stop: CancellationToken,
}

impl Scene {
    pub fn new(settings: Settings) -> Scene {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(ManualClock::new());
        let targets = Targets::new(settings).unwrap();
        let provisioner = Arc::new(Provisioner::new(targets, Arc::<ManualClock>::clone(&clock)).unwrap());
        Scene { clock, provisioner, stop: CancellationToken::new() }
    }

    /// A scene with one HTTP target.
    pub fn at(url: &str) -> Scene {
        Scene::new(settings(url))
    }

    pub async fn carry_out(&self, request: &Request) -> Result<Answer, CallFailed> {
        self.provisioner.carry_out(request, &self.stop).await
    }

    /// Carries it out elsewhere.
    pub fn spawn(&self, request: Request) -> tokio::task::JoinHandle<Result<Answer, CallFailed>> {
        let (provisioner, stop) = (Arc::clone(&self.provisioner), self.stop.clone());
        tokio::spawn(async move { provisioner.carry_out(&request, &stop).await })
    }

    /// Why it is not carried out.
    pub async fn failure(&self, request: &Request) -> Failure {
        self.carry_out(request).await.unwrap_err().failure
    }
}

pub fn settings(url: &str) -> Settings {
    Settings { api_url: Some(url.to_owned()), timeout: Duration::from_secs(30), ..Settings::default() }
}

pub fn request(job_type: JobType, body: Value) -> Request {
    Request {
        id: "0197f0a2-0000-7000-8000-000000000001".to_owned(),
        key: "0197f0a2-0000-7000-8000-000000000001.1".to_owned(),
        job_type,
        body,
        attempt: 1,
        due: START.parse().unwrap(),
    }
}

/// Class and code.
pub fn kind(failure: &Failure) -> (FailureClass, &str) {
    (failure.class, failure.code.as_str())
}
