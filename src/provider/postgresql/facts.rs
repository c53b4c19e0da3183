//! What the rows of the catalog mean to the provider API. Pure.

use super::quoted;
use super::rows::{ClaimRow, DatabaseRow, RoleRow, Setting};
use crate::provider::claim::never_touched;
use crate::provider::{
    Claim, Claimant, CreationOptions, DatabaseFacts, Names, Origin, Ours, ProviderError, RoleFacts,
    SqlName,
};

impl ClaimRow {
    pub(super) fn claim(self) -> Result<Claim, ProviderError> {
        let name = |name: String| {
            SqlName::new(name).map_err(|error| {
                ProviderError::InTheWay(format!(
                    "the table db_operator.claims was edited by hand: {error}"
                ))
            })
        };
        Ok(Claim {
            names: Names {
                database: name(self.database_name)?,
                role: name(self.role_name)?,
            },
            claimant: Claimant {
                cluster_id: self.cluster_id,
                namespace: self.namespace,
                name: self.name,
            },
            uid: self.uid,
            database: origin(self.created_database, self.database_mark),
            role: origin(self.created_role, self.role_mark),
            drop_adopted: self.drop_adopted,
            released: self.released,
        })
    }
}

fn origin(created: bool, mark: Option<i32>) -> Origin {
    match (created, mark) {
        (true, _) => Origin::Created,
        (false, Some(_)) => Origin::Creating,
        (false, None) => Origin::Adopted,
    }
}

fn ours(answer: Option<bool>) -> Ours {
    match answer {
        Some(true) => Ours::Yes,
        Some(false) => Ours::No,
        None => Ours::Unknown,
    }
}

impl DatabaseRow {
    /// What CREATE DATABASE … ALLOW_CONNECTIONS false creates: owned by the administrator, with the default privileges.
    pub(super) fn fresh(name: &str, administrator: &str, mark: Option<i32>) -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            name: name.to_owned(),
            owner: administrator.to_owned(),
            open: false,
            connections: mark.unwrap_or(-1),
            template: false,
            encoding: String::new(),
            collation: String::new(),
            ctype: String::new(),
            locale_provider: String::new(),
            provider_locale: None,
            read_only: None,
            owned: true,
            obtainable: true,
            public: all(&["CONNECT", "TEMPORARY"]),
            own: all(&["CREATE", "CONNECT", "TEMPORARY"]),
            administrator: Vec::new(),
            ours: mark.map(|_| true),
        }
    }

    /// What PUBLIC may do and should not.
    pub(super) fn public_excess(&self) -> &[String] {
        &self.public
    }

    /// What the owner should be able to do and may not do.
    pub(super) fn own_lacks(&self) -> Vec<&'static str> {
        let lacks = |privilege: &&str| !self.own.iter().any(|own| own == privilege);
        ["CREATE", "CONNECT", "TEMPORARY"]
            .into_iter()
            .filter(lacks)
            .collect()
    }

    /// Everything that differs from what the operator creates, apart from the owner.
    pub(super) fn deviations(&self) -> Vec<String> {
        let mut deviations = Vec::new();
        if self.connections == -2 {
            deviations
                .push("a DROP DATABASE was interrupted, so it can only be dropped".to_owned());
        } else if self.connections != -1 {
            deviations.push(format!(
                "it was limited to {} connections",
                self.connections
            ));
        }
        if !self.open {
            deviations.push("connections to it were switched off".to_owned());
        }
        if self.template {
            deviations.push("it was a template that others may copy".to_owned());
        }
        if !self.public.is_empty() {
            deviations.push(format!("PUBLIC had {} on it", self.public.join(", ")));
        }
        if !self.own_lacks().is_empty() {
            deviations.push(format!(
                "its owner had no {} on it",
                self.own_lacks().join(", ")
            ));
        }
        if !self.administrator.is_empty() {
            deviations.push(format!(
                "the administrator had {} on it",
                self.administrator.join(", ")
            ));
        }
        deviations
    }

    /// The options of its creation.
    pub(super) fn options(&self) -> CreationOptions {
        CreationOptions {
            encoding: self.encoding.clone(),
            locale_provider: self.locale_provider.clone(),
            collate: self.collation.clone(),
            ctype: self.ctype.clone(),
            provider_locale: self.provider_locale.clone(),
        }
    }

    /// What makes every session of its user read-only, and what takes it back.
    fn read_only(&self) -> Option<String> {
        let setting = self.read_only.as_ref()?;
        let reset = setting.reset(&self.name)?;
        setting.is_on().then(|| {
            format!(
                "the database {} accepts no writes: {} is set for its sessions; once writes are wanted again, run: {reset}",
                self.name, setting.entry
            )
        })
    }

    pub(super) fn facts(&self) -> DatabaseFacts {
        DatabaseFacts {
            owner: Some(self.owner.clone()),
            deviations: self.deviations(),
            exposures: Vec::new(),
            read_only: self.read_only().into_iter().collect(),
            options: Some(self.options()),
            character_set: self.encoding.clone(),
            collation: self.collation.clone(),
            ours: ours(self.ours),
        }
    }
}

impl Setting {
    /// Whether a Boolean setting is on. PostgreSQL accepts any unambiguous beginning of these words (`parse_bool`).
    fn is_on(&self) -> bool {
        let value = self.entry.split_once('=').map(|(_, value)| value);
        let value = value.unwrap_or_default().trim().to_ascii_lowercase();
        value == "1"
            || value == "on"
            || (!value.is_empty() && ["true", "yes"].iter().any(|word| word.starts_with(&value)))
    }

    /// The statement that takes it back; `None` if the role that it is for is unknown.
    fn reset(&self, database: &str) -> Option<String> {
        let name = self.entry.split_once('=').map(|(name, _)| name)?;
        let database = quoted(database);
        Some(match (self.of_role, self.of_database) {
            (false, false) => format!("ALTER ROLE ALL RESET {name}"),
            (false, true) => format!("ALTER DATABASE {database} RESET {name}"),
            (true, here) => {
                let role = quoted(self.role.as_deref()?);
                let place = if here {
                    format!(" IN DATABASE {database}")
                } else {
                    String::new()
                };
                format!("ALTER ROLE {role}{place} RESET {name}")
            }
        })
    }
}

impl RoleRow {
    /// Why it is never touched; empty for an ordinary role.
    pub(super) fn powers(&self) -> Vec<String> {
        let attributes = [
            (self.superuser, "SUPERUSER"),
            (self.creates_roles, "CREATEROLE"),
            (self.replication, "REPLICATION"),
            (self.bypasses_rls, "BYPASSRLS"),
        ];
        let own = attributes
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| name.to_owned());
        let lent = self
            .member_of
            .iter()
            .map(|role| format!("membership in {role}"));
        own.chain(lent).collect()
    }

    /// Refuses to work on anything but an ordinary role.
    pub(super) fn refuse_powerful(&self) -> Result<(), ProviderError> {
        never_touched(&self.name, &self.powers())
            .map_or(Ok(()), |sentence| Err(ProviderError::InTheWay(sentence)))
    }

    /// Everything that differs from what the operator creates, apart from the connection limit.
    pub(super) fn deviations(&self) -> Vec<String> {
        let found = [
            (!self.login, "it could not log in"),
            (self.creates_databases, "it could create databases"),
            (self.expires, "its password had an expiry date"),
        ];
        found
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, text)| text.to_owned())
            .collect()
    }

    pub(super) fn facts(&self) -> RoleFacts {
        RoleFacts {
            hindrances: Vec::new(),
            may_be_blocked: false,
            can_login: self.login,
            connection_limit: u32::try_from(self.connections).ok(),
            powers: self.powers(),
            alterable: self.alterable,
            deviations: self.deviations(),
            ours: ours(self.ours),
            password: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: &str, of_role: bool, of_database: bool) -> DatabaseRow {
        DatabaseRow {
            read_only: Some(Setting {
                entry: format!("default_transaction_read_only={value}"),
                of_database,
                of_role,
                role: Some("ow\"ner".to_owned()),
            }),
            ..DatabaseRow::fresh("orders", "administrator", None)
        }
    }

    #[test]
    fn a_setting_that_forbids_writes_is_told_with_what_takes_it_back() {
        for (of_role, of_database, reset) in [
            (false, false, "ALTER ROLE ALL RESET"),
            (false, true, "ALTER DATABASE \"orders\" RESET"),
            (true, false, "ALTER ROLE \"ow\"\"ner\" RESET"),
            (
                true,
                true,
                "ALTER ROLE \"ow\"\"ner\" IN DATABASE \"orders\" RESET",
            ),
        ] {
            for on in ["on", "TRUE", "t", "yes", "1"] {
                let facts = setting(on, of_role, of_database).facts();
                let sentence = facts.read_only.first().unwrap();
                assert!(
                    sentence.ends_with(&format!("{reset} default_transaction_read_only")),
                    "{sentence}"
                );
            }
            for off in ["off", "false", "no", "0", ""] {
                let facts = setting(off, of_role, of_database).facts();
                assert_eq!(facts.read_only, Vec::<String>::new(), "{off}");
            }
        }
    }
}
