//! The rounds of the loops one by one, for simulations: nothing happens unless it is called.

use crate::claim::{self, Claimer, Lane};
use crate::clock::Moment;
use crate::drive::Drive;
use crate::follow::Cancellations;
use crate::prune::Pruner;
use crate::rescue::{self, Rescuer};
use crate::retain::Retainer;
use crate::secrets::Custodian;
use crate::{Engine, Error};
use jiff::Timestamp;
use piton_model::RunId;
use piton_store::Tended;

/// The rounds of the loops that [`Engine::start`] would run, beside those of [`crate::triggers`].
pub struct Rounds {
    engine: Engine,
    claimers: [Claimer; 2],
    rescuer: Rescuer,
    retainer: Retainer,
    pruner: Pruner,
    secrets: Custodian,
    cancellations: Cancellations,
}

impl Rounds {
    /// The rounds of `engine`, which must not be started.
    pub async fn new(engine: &Engine) -> Result<Rounds, Error> {
        let shared = &engine.0;
        let head = shared.store.head().await?;
        Ok(Rounds {
            claimers: [Lane::Runs, Lane::Scaffolds].map(|lane| Claimer::new(shared.clone(), lane)),
            rescuer: Rescuer::new(shared.clone()),
            retainer: Retainer::new(shared.clone()),
            pruner: Pruner::new(shared.clone()),
            secrets: Custodian::new(shared.clone()),
            cancellations: Cancellations::new(shared.clone(), head),
            engine: engine.clone(),
        })
    }

    /// Takes back what this worker still holds.
    pub async fn take_back(&self) -> Result<Vec<Drive>, Error> {
        claim::take_back(&self.engine.0).await
    }

    /// Claims what is due, as far as there are slots.
    pub async fn claim(&mut self) -> Result<Vec<Drive>, Error> {
        let now = self.engine.0.clock.now();
        let mut drives = Vec::new();
        for claimer in &mut self.claimers {
            drives.extend(claimer.take(now).await?);
        }
        Ok(drives)
    }

    /// Renews the leases of this worker.
    pub async fn renew(&self) -> Result<(), Error> {
        rescue::renew(&self.engine.0).await
    }

    /// When a lease of another worker is over next, if it is not renewed.
    pub fn next_loss(&self) -> Option<Moment> {
        self.rescuer.next()
    }

    /// Ends what is overdue; how many runs that were.
    pub async fn rescue(&mut self) -> Result<usize, Error> {
        self.rescuer.handle().await
    }

    /// Passes on requests to cancel that others have recorded.
    pub async fn follow(&mut self) -> Result<(), Error> {
        self.cancellations.handle().await
    }

    /// Looks after the secrets in the ledger.
    pub async fn tend_secrets(&mut self) -> Result<Tended, Error> {
        self.secrets.handle().await
    }

    /// Removes what is old enough; how many runs that were.
    pub async fn retain(&mut self) -> Result<usize, Error> {
        self.retainer.handle().await
    }

    /// Removes the runs of jobs that are to go before; how many that were.
    pub async fn prune(&mut self) -> Result<usize, Error> {
        self.pruner.handle().await
    }

    /// When the next of them is to go.
    pub fn next_removal(&self) -> Option<Timestamp> {
        self.pruner.next()
    }

    /// The runs that are driven here and were told to stop.
    pub fn stopping(&self) -> Vec<RunId> {
        let drivers = self.engine.0.drivers();
        let mut ids: Vec<RunId> =
            drivers.iter().filter(|(_, driver)| driver.stop.is_cancelled()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
