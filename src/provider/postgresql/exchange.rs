//! How two databases exchange their names in one transaction while the target is locked, and what follows if they do not.

use std::time::{Duration, Instant};

use super::Postgresql;
use super::checks::{Checked, Checks, Claimed};
use super::error::{Failure, is_nothing_there};
use super::grants::permit;
use super::restore_tables::{RestoreState, name};
use super::session::Session;
use super::swap_lock::{PAUSE, in_use_by, is_in_use};
use crate::provider::restore::{Load, Swapped};
use crate::provider::{ProviderError, SqlName};

/// The least time that a statement gets, however little is left.
const LEAST: Duration = Duration::from_millis(100);

/// What is exchanged, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) load: &'a Load,
    pub(super) claimed: &'a Claimed,
    /// The target and the other one, with which databases they have to be.
    pub(super) databases: [(&'a str, &'a str); 2],
    /// When the target has to be open again.
    pub(super) deadline: Instant,
}

impl Postgresql {
    /// Runs these statements once nobody is in the target. `None` once they are committed; otherwise the target is open
    /// again, and nothing was changed.
    pub(super) async fn exchange(
        &self,
        session: &mut Session,
        exchange: Exchange<'_>,
        statements: Vec<String>,
    ) -> Result<Option<Swapped>, ProviderError> {
        let Exchange {
            load,
            claimed,
            databases,
            deadline,
        } = exchange;
        let database = &load.target.database;
        let doing = format!("put another database in the place of {database:?}");
        let checks = Checks {
            claimed: Some(claimed),
            databases: &databases,
        };
        let swapped = loop {
            if let Some(sentence) = self
                .end_all_inside(session, database, &[], deadline)
                .await?
            {
                break Swapped::Blocked(sentence);
            }
            let mut all = self.within(deadline);
            all.extend(statements.iter().cloned());
            match self.checked(session, &doing, checks, all).await? {
                Checked::Done => return Ok(None),
                Checked::ChangedHands(sentence) => break Swapped::ChangedHands(sentence),
                Checked::Taken(sentence) => break Swapped::Blocked(sentence),
                Checked::Failed(failure) if is_in_use(&failure) => {
                    if Instant::now() >= deadline {
                        let sentence = self.who_is_in_use(session, exchange, &failure).await?;
                        break Swapped::Blocked(sentence);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Checked::Failed(failure) if is_said_again(&failure) => {
                    break Swapped::Blocked(not_replaced(database, &failure.said()));
                }
                Checked::Failed(failure) => {
                    let version = session.version();
                    let role = load.target.role.as_str();
                    return Err(failure.needing(|| permit(role, &self.config.username, version)));
                }
            }
        };
        self.unlock(session, load).await?;
        Ok(Some(swapped))
    }

    /// The limits of a transaction that has to be over by then.
    fn within(&self, deadline: Instant) -> Vec<String> {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(LEAST);
        let limits = self.config.timeouts;
        [
            ("lock_timeout", limits.lock),
            ("statement_timeout", limits.statement),
        ]
        .map(|(name, limit)| format!("SET LOCAL {name} = {}", left.min(limit).as_millis()))
        .to_vec()
    }

    async fn who_is_in_use(
        &self,
        session: &mut Session,
        exchange: Exchange<'_>,
        failure: &Failure,
    ) -> Result<String, ProviderError> {
        let mut reasons = Vec::new();
        for (database, _) in exchange.databases {
            reasons.extend(self.left_inside(session, database).await?);
            let left = self
                .list_sessions(session, Some(database), None, &[])
                .await?;
            if !left.is_empty() {
                reasons.push(in_use_by(&name(database)?, &left));
            }
            reasons.extend(self.holders(session, Some(database), None).await?);
        }
        if reasons.is_empty() {
            reasons.push(failure.said());
        }
        // Who writes in a catalog that all share is found for both.
        let mut told: Vec<String> = Vec::new();
        for reason in reasons {
            if !told.contains(&reason) {
                told.push(reason);
            }
        }
        Ok(not_replaced(
            &exchange.load.target.database,
            &told.join("; "),
        ))
    }

    /// After an error, the answer to a COMMIT may have been lost: then it is done all the same. Otherwise the target is opened
    /// again, if the server lets us; if not, whoever comes next does it.
    pub(super) async fn recover(
        &self,
        load: &Load,
        claimed: &Claimed,
        error: ProviderError,
        is_done: fn(&RestoreState) -> bool,
    ) -> Result<(), ProviderError> {
        if error.ends_process() {
            return Err(error);
        }
        let Ok(mut session) = self.session().await else {
            return Err(error);
        };
        match self.state_of(&mut session, load, claimed).await {
            Ok(state) if is_done(&state) => Ok(()),
            Ok(_) => {
                // The first error says more.
                let _ = self.unlock(&mut session, load).await;
                Err(error)
            }
            Err(_) => Err(error),
        }
    }
}

/// Whether the server will say the same the next time, which counts as a try: each cuts the applications off. Not what is
/// final (a missing right), and not what says that it goes down, only reads, or was rebuilt.
fn is_said_again(failure: &Failure) -> bool {
    let Some(code) = failure.code() else {
        return false;
    };
    let another =
        matches!(code, "42501" | "25006") || code.starts_with("57P") || is_nothing_there(failure);
    !another
}

fn not_replaced(database: &SqlName, why: &str) -> String {
    format!("database {database:?} could not be replaced: {why}")
}

#[cfg(test)]
mod tests {
    use super::super::error::Kind;
    use super::*;

    fn failure(kind: Kind) -> Failure {
        Failure {
            doing: "swap".to_owned(),
            server: "host:1".to_owned(),
            kind,
        }
    }

    #[test]
    fn what_is_said_again_counts_as_a_try() {
        let answer = |code: &str| {
            failure(Kind::Server {
                code: code.to_owned(),
                message: String::new(),
                routine: String::new(),
            })
        };
        for code in ["42P04", "22023", "42704", "23505", "2BP01", "22P02"] {
            assert!(is_said_again(&answer(code)), "{code}");
        }
        for code in [
            "42501", "25006", "57P01", "57P03", "42P01", "3F000", "42703",
        ] {
            assert!(!is_said_again(&answer(code)), "{code}");
        }
        for kind in [Kind::Network("it hung up".to_owned()), Kind::Timeout(LEAST)] {
            assert!(!is_said_again(&failure(kind)));
        }
    }
}
