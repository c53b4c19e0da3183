//! The log: what is written, in which form, how often, and what never is.

use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::LogFormat;

pub mod events;
pub mod failures;
pub mod pace;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not written as it has to be.
    #[error(
        "--log-filter \"{filter}\" is not understood ({source}): write a level or something like \"info,db_operator=debug\""
    )]
    Filter {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A log was already set up.
    #[error("the log is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the log to standard error, in `format`, limited to `filter`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let wanted = EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let allowed = wanted.and(FilterFn::new(|event| is_wanted(event.target())));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(allowed))
        .try_init()?;
    Ok(())
}

/// Whether a module's events are written at all, whatever the filter says.
#[allow(clippy::match_same_arms, reason = "each has a reason of its own")]
fn is_wanted(target: &str) -> bool {
    match target {
        // The whole body of an answer that cannot be parsed, which may be a Secret.
        "kube_client::client" => false,
        // Statements, which may carry a verifier.
        "sqlx::query" => false,
        // What the controllers and the elector say themselves, and shorter.
        "kube_runtime::watcher" | "kube_leader_election::lease" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_logged() {
        assert!(!is_wanted("kube_client::client"));
        assert!(!is_wanted("sqlx::query"));
        assert!(is_wanted("kube_client::client::builder"));
        assert!(is_wanted("db_operator::leader"));
    }
}
