//! Inspects the server as a whole.

use serde::Deserialize;

use super::identity::identity;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::pool::Session as _;
use crate::provider::{Flavour, Inspection, MissingPrivilege, ProviderError};

const FACTS: &str = "SELECT json_build_object(
  'version', current_setting('server_version'),
  'number', current_setting('server_version_num')::int,
  'tls', (SELECT s.version || ' ' || s.cipher FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl),
  'read_only', pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
  'superuser', r.rolsuper, 'creates_databases', r.rolcreatedb, 'creates_roles', r.rolcreaterole,
  'inherits', r.rolinherit)::text
FROM pg_roles r WHERE r.rolname = current_user";

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
struct Facts {
    version: String,
    number: u32,
    tls: Option<String>,
    read_only: bool,
    superuser: bool,
    creates_databases: bool,
    creates_roles: bool,
    inherits: bool,
}

impl Postgresql {
    pub(super) async fn inspect_server(&self) -> Result<Inspection, ProviderError> {
        match self.session().await {
            Ok(mut session) => {
                self.forget_ended(&mut session).await?;
                self.drop_left_over(&mut session).await?;
                self.examine(&mut session).await
            }
            // If the operator's own database cannot or must not be created, there is no fence, and nothing is written.
            Err(
                reason @ (ProviderError::ReadOnly { .. }
                | ProviderError::NotPermitted { .. }
                | ProviderError::IdentityChanged { .. }),
            ) => {
                let _slot = self.pool.one_off_slot().await?;
                let mut session = self
                    .connect(self.config.maintenance_database.as_str())
                    .await?;
                let result = self.examine(&mut session).await;
                session.close().await;
                result.map(|inspection| Self::with(inspection, reason))
            }
            Err(error) => Err(error),
        }
    }

    async fn examine(&self, session: &mut Session) -> Result<Inspection, ProviderError> {
        let facts: Facts = session
            .json("look at the server", sqlx::query(FACTS))
            .await?;
        Ok(Inspection {
            flavour: Flavour::Postgresql,
            series: (facts.number / 10_000).to_string(),
            tls: facts.tls.clone(),
            identity: identity(session).await?,
            read_only: facts.read_only,
            missing: self.missing(&facts),
            unsuitable: Vec::new(),
            warnings: Vec::new(),
            // "15.18 (Debian 15.18-0+deb12u1)"
            version: facts
                .version
                .split(' ')
                .next()
                .unwrap_or(&facts.version)
                .to_owned(),
        })
    }

    fn missing(&self, facts: &Facts) -> Vec<MissingPrivilege> {
        let administrator = quoted(&self.config.username);
        let needs = [
            (facts.creates_databases, "make databases", "CREATEDB"),
            (facts.creates_roles, "make users", "CREATEROLE"),
            // From 16 on, each membership says whether it is inherited.
            (
                facts.inherits || facts.number >= 160_000,
                "act for the owners of databases",
                "INHERIT",
            ),
        ];
        needs
            .into_iter()
            .filter(|(has, ..)| !has && !facts.superuser)
            .map(|(_, needed_for, attribute)| MissingPrivilege {
                needed_for: needed_for.to_owned(),
                grant: format!("ALTER ROLE {administrator} {attribute}"),
            })
            .collect()
    }

    /// Adds why the operator's own database could not be used, unless that is listed already.
    fn with(mut inspection: Inspection, reason: ProviderError) -> Inspection {
        if let ProviderError::NotPermitted { doing, grant, .. } = reason
            && !inspection
                .missing
                .iter()
                .any(|missing| missing.grant == grant)
        {
            inspection.missing.push(MissingPrivilege {
                needed_for: doing,
                grant,
            });
        }
        inspection
    }
}
