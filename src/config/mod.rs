//! The settings of `db-operator run`, by flag or by environment variable, read once at the start.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use crate::queue::slots::Limits;

#[cfg(test)]
mod reference;

/// The settings of the operator's process.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// The id under which this cluster claims databases on a server [default: the UID of the
    /// namespace kube-system].
    ///
    /// Clusters that share a database server must have different ids. Set it if the claims have to
    /// outlive the cluster, and never change it afterwards: databases claimed under another id are
    /// not touched.
    #[arg(long, env = "DB_OPERATOR_CLUSTER_ID", value_parser = non_empty)]
    pub cluster_id: Option<String>,

    /// The namespace the operator runs in, where its lease and the administrators' Secrets live
    /// [default: the namespace of the service account or of the current context].
    #[arg(long, env = "POD_NAMESPACE", value_parser = non_empty)]
    pub namespace: Option<String>,

    /// The name under which this process holds the lease [default: the host's name and a random
    /// word].
    ///
    /// In a pod, the pod's name: a restarted container then continues at once, because its
    /// predecessor in the same pod is gone. Two processes must never share one.
    #[arg(long, env = "POD_NAME", value_parser = identity)]
    pub identity: Option<String>,

    /// How often every object is compared with its server, even if nothing changed.
    #[arg(long, env = "DB_OPERATOR_RESYNC", default_value = "5m", value_name = "TIME", value_parser = duration)]
    pub resync: Duration,

    /// How often the contents of each database are checked by the administrator.
    #[arg(long, env = "DB_OPERATOR_DEEP_RESYNC", default_value = "6h", value_name = "TIME", value_parser = duration)]
    pub deep_resync: Duration,

    /// How many objects of one kind are reconciled at the same time.
    ///
    /// The Databases of one instance get at most half of that, and so do those of one namespace. While other namespaces
    /// wait, each gets at most a quarter, of the whole and of its instance's half.
    #[arg(long, env = "DB_OPERATOR_CONCURRENCY", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,

    /// How many backups may run at the same time, over all instances. Namespaces take turns.
    #[arg(long, env = "DB_OPERATOR_MAX_BACKUPS", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_backups: u16,

    /// How many backups may run at the same time on one instance.
    #[arg(long, env = "DB_OPERATOR_MAX_BACKUPS_PER_INSTANCE", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_backups_per_instance: u16,

    /// How long a finished backup's Job is kept for its log; whole seconds, at least 5 minutes.
    #[arg(long, env = "DB_OPERATOR_KEEP_JOBS", default_value = "24h", value_name = "TIME", value_parser = kept)]
    pub keep_jobs: Duration,

    /// The operator's own image, whose binary runs in backup pods [default: the image of this process's own pod].
    #[arg(long, env = "DB_OPERATOR_IMAGE", value_parser = non_empty)]
    pub image: Option<String>,

    /// How long a process that was asked to stop may keep working on what it has begun.
    ///
    /// Keep it below the pod's terminationGracePeriodSeconds.
    #[arg(long, env = "DB_OPERATOR_SHUTDOWN_GRACE", default_value = "20s", value_name = "TIME", value_parser = duration)]
    pub shutdown_grace: Duration,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "DB_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// The format of the log.
    #[arg(
        long,
        env = "DB_OPERATOR_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace), or a list of modules with a level
    /// each, as in `info,db_operator=debug`.
    #[arg(long, env = "DB_OPERATOR_LOG", default_value = "info")]
    pub log_filter: String,

    /// The lease that elects one leader among the replicas.
    #[command(flatten)]
    pub lease: LeaseConfig,
}

/// The lease that elects the leader, and its times.
#[derive(Clone, Debug, Args)]
pub struct LeaseConfig {
    /// The name of the Lease that elects the leader.
    #[arg(id = "lease_name", long = "lease-name", value_name = "NAME", env = "DB_OPERATOR_LEASE_NAME", default_value = "db-operator", value_parser = non_empty)]
    pub name: String,

    /// The namespace of the Lease [default: the operator's own].
    #[arg(id = "lease_namespace", long = "lease-namespace", value_name = "NAMESPACE", env = "DB_OPERATOR_LEASE_NAMESPACE", value_parser = non_empty)]
    pub namespace: Option<String>,

    /// How long a lease is valid after its last renewal; whole seconds.
    ///
    /// If the leader's node dies, no replica leads for this long. The API server may take a seventh of it for each
    /// answer, repeatedly, before the lease is lost.
    #[arg(id = "lease_ttl", long = "lease-ttl", env = "DB_OPERATOR_LEASE_TTL", default_value = "30s", value_name = "TIME", value_parser = whole_seconds)]
    pub ttl: Duration,

    /// How often the leader renews its lease; at most a third of its time to live.
    #[arg(id = "lease_renew", long = "lease-renew", env = "DB_OPERATOR_LEASE_RENEW", default_value = "2s", value_name = "TIME", value_parser = duration)]
    pub renew: Duration,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A leader that renews too seldom loses its lease over a single slow answer.
    #[error(
        "--lease-renew is {renew:?}, which is more than a third of --lease-ttl ({ttl:?}): renew more often, or lengthen the ttl"
    )]
    RenewsTooSeldom {
        /// `--lease-renew`
        renew: Duration,
        /// `--lease-ttl`
        ttl: Duration,
    },
}

impl Config {
    /// Checks what one flag alone cannot know.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.lease.renew * 3 > self.lease.ttl {
            return Err(ConfigError::RenewsTooSeldom {
                renew: self.lease.renew,
                ttl: self.lease.ttl,
            });
        }
        Ok(())
    }

    /// How many backups may run at a time.
    #[must_use]
    pub fn backup_limits(&self) -> Limits {
        Limits {
            overall: self.max_backups.into(),
            per_instance: self.max_backups_per_instance.into(),
        }
    }

    /// How long a finished backup's Job is kept, in seconds.
    #[must_use]
    pub fn keep_seconds(&self) -> u32 {
        u32::try_from(self.keep_jobs.as_secs()).unwrap_or(u32::MAX)
    }

    /// The name under which this process holds the lease.
    #[must_use]
    pub fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = host.trim();
            let host = if host.is_empty() { "db-operator" } else { host };
            format!("{host}-{:08x}", rand::random::<u32>())
        })
    }
}

/// Reads `90s`, `5m`, `6h` or `1m 30s`; more than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("\"{text}\" is no time span: write something like 30s, 5m or 6h");
    let span: SignedDuration = text.parse().map_err(|_| wanted())?;
    match Duration::try_from(span) {
        Ok(span) if !span.is_zero() => Ok(span),
        Ok(_) | Err(_) => Err(wanted()),
    }
}

/// A Lease's duration is an integer of seconds; one second is too short to survive a slow answer.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.subsec_nanos() != 0 || !(2..=3600).contains(&span.as_secs()) {
        return Err(format!(
            "\"{text}\" does not fit a lease: write whole seconds from 2s to 1h"
        ));
    }
    Ok(span)
}

/// A Job that goes sooner after its end may go before its report is read: a new leader needs a while to come to it.
const KEPT_AT_LEAST: Duration = Duration::from_mins(5);

/// A Job's time to live is an integer of seconds.
fn kept(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.subsec_nanos() != 0 || i32::try_from(span.as_secs()).is_err() {
        return Err(format!(
            "\"{text}\" does not fit a Job: write whole seconds, as in 10m or 24h"
        ));
    }
    if span < KEPT_AT_LEAST {
        return Err(format!(
            "\"{text}\" is too short: the operator reads a backup's report from its Job's pod, so write 5m or more"
        ));
    }
    Ok(span)
}

fn non_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty: leave it out to get the default".to_owned());
    }
    Ok(text.to_owned())
}

/// The identity doubles as the field manager of the Lease's writes, which the API limits to 128
/// bytes of printable characters.
fn identity(text: &str) -> Result<String, String> {
    let text = non_empty(text)?;
    if text.len() > 128 || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("an identity has at most 128 printable characters and no space".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        Line::try_parse_from([&["db-operator"], args].concat()).map(|line| line.config)
    }

    #[test]
    fn defaults_are_valid() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.resync, Duration::from_mins(5));
        assert_eq!(config.deep_resync, Duration::from_hours(6));
        assert_eq!(config.lease.ttl, Duration::from_secs(30));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1m 30s", 90), ("6h", 21_600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "-5m", "5", "soon"] {
            assert!(
                duration(text).unwrap_err().contains("30s, 5m or 6h"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_lease_has_whole_seconds() {
        for text in ["1s", "2500ms", "2h"] {
            assert!(whole_seconds(text).is_err(), "{text}");
        }
        assert_eq!(whole_seconds("2s"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn a_job_is_kept_for_whole_seconds() {
        let day = parse(&[]).unwrap().keep_jobs;
        assert_eq!(day, Duration::from_hours(24));
        assert!(parse(&["--keep-jobs", "360500ms"]).is_err());
        assert!(parse(&["--max-backups", "0"]).is_err());
    }

    #[test]
    fn a_job_is_kept_until_its_report_is_read() {
        let refused = parse(&["--keep-jobs", "4m 59s"]).unwrap_err();
        assert!(
            refused.to_string().contains("write 5m or more"),
            "{refused}"
        );
        assert!(parse(&["--keep-jobs", "5m"]).is_ok());
    }

    #[test]
    fn renewing_too_seldom_is_refused() {
        let config = parse(&["--lease-ttl", "5s", "--lease-renew", "2s"]).unwrap();
        assert!(config.validate().is_err());
    }

    #[test]
    fn identities_fit_a_field_manager() {
        assert!(parse(&["--identity", &"x".repeat(129)]).is_err());
        assert!(parse(&["--identity", "two words"]).is_err());
        assert_eq!(
            parse(&["--identity", "pod-1"]).unwrap().identity(),
            "pod-1".to_owned()
        );
    }
}
