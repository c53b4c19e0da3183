//! What a load needs, and what it comes to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::fetch::Fetcher;
use super::login::Login;
use super::meter::Meter;
use super::tool::Tool;
use crate::agent::protocol::contents::Contents;
use crate::agent::protocol::restore::RestoreTask;

/// What a load needs.
pub(super) struct Load {
    /// What the operator asks for.
    pub task: RestoreTask,
    /// A folder in memory.
    pub work: PathBuf,
    /// The tool that loads.
    pub tool: Tool,
    /// How this process logs in.
    pub login: Login,
    /// Fetches the object.
    pub fetcher: Fetcher,
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// Ends it before its time.
    pub cancelled: CancellationToken,
}

impl Load {
    /// How long nothing may move.
    pub(super) fn stall(&self) -> Duration {
        Duration::from_secs(self.task.stall_seconds)
    }

    /// Fetches the object, until all of it has come or nothing is wanted any more.
    pub(super) async fn fetch(&self, pieces: Sender<Bytes>) -> Result<(), Failure> {
        tokio::select! {
            fetched = self.fetcher.all(pieces) => Ok(fetched?),
            () = self.cancelled.cancelled() => Ok(()),
        }
    }
}

/// A dump that is loaded.
pub(super) struct Dump {
    /// What was left out, a sentence each.
    pub left_out: Vec<String>,
    /// Tables, by schema and name, whose rows were left out since an extension owns them.
    pub foreign: Vec<(String, String)>,
    /// What it holds, table by table, where that is known.
    pub figures: Option<Contents>,
}

impl Dump {
    /// The tables whose rows are there now.
    pub(super) fn tables(&self) -> impl Iterator<Item = &crate::agent::protocol::contents::Table> {
        let is_foreign = |schema: &str, name: &str| {
            let mut all = self.foreign.iter();
            all.any(|(s, n)| (s.as_str(), n.as_str()) == (schema, name))
        };
        self.figures
            .iter()
            .flat_map(|figures| &figures.tables)
            .filter(move |table| !is_foreign(&table.schema, &table.name))
    }
}
