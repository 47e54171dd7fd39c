//! What people see of workspaces and jobs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_model::{Projection, Subject, SubjectKind};

use crate::batch::Batch;
use crate::db::params;
use crate::query::Span;
use crate::row;
use crate::statement::{Column, Rows};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) const ONE: &str = "SELECT body FROM projections WHERE subject = $1";
pub(crate) const OF_KIND: &str = "SELECT subject, body FROM projections WHERE subject >= $1 AND subject < $2";
pub(crate) const IMPORT: Rows = Rows {
    head: "INSERT INTO projections (subject, body, seq)",
    columns: &[Column::Text, Column::Text, Column::Int],
    tail: " ON CONFLICT (subject) DO NOTHING",
};

impl Store {
    /// What is seen of a subject; none where nothing ever happened to it.
    pub async fn projection(&self, subject: &Subject) -> Result<Option<Projection>, Error> {
        let subject = subject.to_string();
        let Some(row) = self.readers().row(ONE, params![subject.as_str()]).await? else { return Ok(None) };
        row::projection(&subject, &row.text(0)?).map(Some)
    }

    /// What is seen of all subjects of a kind.
    pub async fn projections(&self, kind: SubjectKind) -> Result<BTreeMap<Subject, Projection>, Error> {
        let span = Span::of_kind(kind);
        let rows = self.readers().rows(OF_KIND, params![span.from, span.to]).await?;
        rows.iter()
            .map(|row| {
                let subject = row.text(0)?;
                Ok((row::subject(&subject)?, row::projection(&subject, &row.text(1)?)?))
            })
            .collect()
    }

    /// Takes over what an earlier program knew, only for subjects of which nothing is known here.
    pub async fn import(&self, projections: Vec<(Subject, Projection)>, _at: Timestamp) -> Result<(), Error> {
        self.writer().perform(Import { projections }).await
    }
}

struct Import {
    projections: Vec<(Subject, Projection)>,
}

impl Operation for Import {
    type Answer = ();

    async fn perform(&self, batch: &mut Batch) -> Result<(), Error> {
        // What this transaction knows already must be there to stand in the way.
        batch.flush().await?;
        let mut rows = Vec::with_capacity(self.projections.len() * IMPORT.width());
        for (subject, projection) in &self.projections {
            rows.extend(params![subject.to_string(), row::projection_body(projection)?, 0]);
        }
        batch.conn().write_rows(&IMPORT, rows).await?;
        batch.forget_projections(self.projections.iter().map(|(subject, _)| subject));
        batch.announce();
        Ok(())
    }
}
