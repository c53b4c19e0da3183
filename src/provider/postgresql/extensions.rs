//! Extensions: what the server offers, and what is to be done about those that are asked for. Pure, but for the query.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::contents::Plan;
use crate::provider::ident::postgresql_literal;
use crate::provider::{Desired, Extension, PostgresqlSettings, ProviderError};

/// What a new database has in it.
const ALWAYS_THERE: &str = "plpgsql";

/// The most versions that a message names.
const NAMED: usize = 10;

/// SQL: what the server offers of the extensions that `$1` names, as one JSON document.
macro_rules! offers {
    () => {
        "(SELECT coalesce(json_object_agg(x.name, json_build_object('default', x.default_version,
      'versions', coalesce(v.versions, '{}'))), '{}')
    FROM pg_available_extensions x LEFT JOIN (SELECT name, json_object_agg(version, json_build_object(
        'trusted', coalesce(trusted, false) OR NOT coalesce(superuser, true), 'schema', schema,
        'requires', coalesce(requires, '{}'))) AS versions
      FROM pg_available_extension_versions WHERE name = ANY ($1) GROUP BY name) v ON v.name = x.name
    WHERE x.name = ANY ($1))"
    };
}
pub(super) use offers;

/// What the server offers, by extension.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Offers(HashMap<String, Offer>);

#[derive(Deserialize)]
struct Offer {
    default: Option<String>,
    versions: HashMap<String, Version>,
}

/// One version of an extension.
#[derive(Deserialize)]
pub(super) struct Version {
    /// Anyone with CREATE on the database may install it.
    trusted: bool,
    /// The schema that it insists on.
    schema: Option<String>,
    /// The extensions that it needs.
    requires: Vec<String>,
}

/// An extension that is installed.
#[derive(Deserialize)]
pub(super) struct Installed {
    version: String,
    schema: String,
    /// It can be moved into another schema.
    relocatable: bool,
    owner: String,
    /// The database's user has the rights of its owner.
    of_user: bool,
    /// The administrator has.
    of_administrator: bool,
    /// Everything in it belongs to the database's user. That of an extension that PostgreSQL trusts owners with belongs
    /// to the server's first superuser, and only who owns all of it may move it.
    whole: bool,
    /// The administrator is a superuser.
    superuser: bool,
    /// There is a way from its version to the one that is asked for.
    updatable: bool,
}

impl Offers {
    /// Checks whether an extension can be installed as it is asked for, by whom ever. Returns the version that it is
    /// about.
    pub(super) fn check(
        &self,
        wanted: &Extension,
        settings: &PostgresqlSettings,
    ) -> Result<&Version, ProviderError> {
        let name = wanted.name.as_str();
        let unsupported = |sentence: String| Err(ProviderError::Unsupported(sentence));
        let Some(offer) = self.0.get(name) else {
            return unsupported(format!(
                "the server has no extension {name:?}: install its package there, or take it out of \
                 spec.postgresql.extensions"
            ));
        };
        let number = wanted.version.as_ref().or(offer.default.as_ref());
        let Some(version) = number.and_then(|number| offer.versions.get(number)) else {
            return unsupported(format!(
                "the server has no version {:?} of the extension {name:?}, only {}: write one of these in \
                 spec.postgresql.extensions, or leave the version out",
                number.map(String::as_str).unwrap_or_default(),
                offer.listed()
            ));
        };
        if let (Some(schema), Some(insists)) = (&wanted.schema, &version.schema)
            && schema.as_str() != insists
        {
            return unsupported(format!(
                "the extension {name:?} can only be in the schema {insists:?}: write that, or leave the schema out"
            ));
        }
        if !version.trusted && !settings.allows(name) {
            return unsupported(not_trusted(name));
        }
        Ok(version)
    }

    /// The wanted extensions, each after those that it needs.
    pub(super) fn in_order<'a>(&self, wanted: &'a [Extension]) -> Vec<&'a Extension> {
        let mut ordered: Vec<&Extension> = Vec::new();
        let mut rest: Vec<&Extension> = wanted.iter().collect();
        while !rest.is_empty() {
            let names: HashSet<&str> = rest.iter().map(|one| one.name.as_str()).collect();
            let waits = |one: &&Extension| {
                let requires = self.requires(one);
                requires.iter().any(|name| names.contains(name.as_str()))
            };
            let (waiting, ready): (Vec<_>, Vec<_>) = rest.into_iter().partition(waits);
            if ready.is_empty() {
                // A circle, which no extension has: the server says what it thinks of it.
                ordered.extend(waiting);
                return ordered;
            }
            ordered.extend(ready);
            rest = waiting;
        }
        ordered
    }

    fn requires(&self, wanted: &Extension) -> &[String] {
        let offer = self.0.get(wanted.name.as_str());
        offer
            .and_then(|offer| {
                let number = wanted.version.as_ref().or(offer.default.as_ref())?;
                offer.versions.get(number)
            })
            .map_or(&[], |version| &version.requires)
    }
}

impl Offer {
    fn listed(&self) -> String {
        let mut versions: Vec<&str> = self.versions.keys().map(String::as_str).collect();
        versions.sort_unstable();
        let more = match versions.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        versions.truncate(NAMED);
        format!("{}{more}", versions.join(", "))
    }
}

impl Version {
    /// Refuses an extension that needs another one, which is neither asked for nor `there`.
    pub(super) fn refuse_unmet(
        &self,
        wanted: &Extension,
        settings: &PostgresqlSettings,
        there: impl Fn(&str) -> bool,
    ) -> Result<(), ProviderError> {
        let asked = |name: &str| {
            settings
                .extensions
                .iter()
                .any(|one| one.name.as_str() == name)
        };
        let mut unmet = self.requires.iter().map(String::as_str);
        match unmet.find(|name| *name != ALWAYS_THERE && !asked(name) && !there(name)) {
            None => Ok(()),
            Some(needed) => Err(ProviderError::Unsupported(format!(
                "the extension {:?} needs the extension {needed:?}: add it to spec.postgresql.extensions as well",
                wanted.name
            ))),
        }
    }
}

impl PostgresqlSettings {
    fn allows(&self, extension: &str) -> bool {
        let mut allowed = self.allowed_extensions.iter();
        allowed.any(|allowed| allowed == extension)
    }
}

fn not_trusted(name: &str) -> String {
    format!(
        "the extension {name:?} is not trusted by the server: have the platform team list it in the instance's \
         spec.postgresql.allowedExtensions, or take it out of spec.postgresql.extensions"
    )
}

/// Adds what is to be done about one extension that is not installed.
pub(super) fn install(
    plan: &mut Plan,
    desired: &Desired,
    offers: &Offers,
    wanted: &Extension,
    there: impl Fn(&str) -> bool,
) -> Result<(), ProviderError> {
    let name = &wanted.name;
    let version = offers.check(wanted, &desired.postgresql)?;
    version.refuse_unmet(wanted, &desired.postgresql, there)?;
    let mut sql = format!("CREATE EXTENSION {}", name.postgresql());
    match (&wanted.schema, &version.schema) {
        // The server makes the one that it insists on.
        (_, Some(_)) => {}
        (Some(schema), None) => {
            plan.need_schema(desired, schema, version.trusted)?;
            sql.extend([" SCHEMA ", &schema.postgresql()]);
        }
        // Otherwise it would go where `search_path` points, which is pinned to pg_catalog.
        (None, None) => sql.push_str(" SCHEMA public"),
    }
    if let Some(number) = &wanted.version {
        sql.extend([" VERSION ", &postgresql_literal(number)]);
    }
    plan.change(format!("extension {name} was installed"));
    if version.trusted {
        plan.as_owner(sql);
    } else {
        plan.as_administrator(sql, name);
    }
    Ok(())
}

/// Adds what is to be done about one extension that is installed: its version and its schema.
pub(super) fn change(
    plan: &mut Plan,
    desired: &Desired,
    offers: &Offers,
    wanted: &Extension,
    is: &Installed,
) -> Result<(), ProviderError> {
    let name = &wanted.name;
    let alter = format!("ALTER EXTENSION {}", name.postgresql());
    if let Some(number) = wanted
        .version
        .as_ref()
        .filter(|number| **number != is.version)
    {
        let trusted = offers.check(wanted, &desired.postgresql)?.trusted;
        if !is.updatable {
            return Err(ProviderError::Unsupported(format!(
                "the extension {name:?} has the version {}, and the server has no way from there to {number}: write version \
                 {0:?}, or in database {:?} run DROP EXTENSION {}, which takes along what depends on it, and it is \
                 installed anew",
                is.version,
                desired.names.database,
                name.postgresql()
            )));
        }
        let sql = format!("{alter} UPDATE TO {}", postgresql_literal(number));
        if is.of_user && trusted {
            plan.as_owner(sql);
        } else if is.of_administrator {
            plan.as_administrator(sql, name);
        } else {
            return Err(is.for_a_superuser(desired, wanted, &sql));
        }
        plan.change(format!(
            "extension {name} was version {}, is {number}",
            is.version
        ));
    }
    if let Some(schema) = wanted
        .schema
        .as_ref()
        .filter(|schema| schema.as_str() != is.schema)
    {
        if !is.relocatable {
            return Err(ProviderError::Unsupported(format!(
                "the extension {name:?} is in the schema {:?} and cannot be moved into {schema:?}: write schema {0:?}, or in \
                 database {:?} run DROP EXTENSION {}, which takes along what depends on it, and it is installed there",
                is.schema,
                desired.names.database,
                name.postgresql()
            )));
        }
        plan.need_schema(desired, schema, is.whole)?;
        let sql = format!("{alter} SET SCHEMA {}", schema.postgresql());
        if is.whole {
            plan.as_owner(sql);
        } else if is.superuser {
            plan.as_administrator(sql, name);
        } else {
            plan.leave(is.for_a_superuser(desired, wanted, &sql));
            return Ok(());
        }
        plan.change(format!(
            "extension {name} was in schema {}, is in {schema}",
            is.schema
        ));
    }
    Ok(())
}

impl Installed {
    /// What neither the database's user nor the administrator may do.
    fn for_a_superuser(&self, desired: &Desired, wanted: &Extension, sql: &str) -> ProviderError {
        ProviderError::InTheWay(format!(
            "the extension {:?} of {:?} has objects that only a superuser may change; in database {:?}, as a superuser, run: {sql}",
            wanted.name, self.owner, desired.names.database
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SqlName;
    use serde_json::json;

    fn offers() -> Offers {
        let version = |trusted: bool, schema: Option<&str>, requires: &[&str]| json!({"trusted": trusted, "schema": schema, "requires": requires});
        serde_json::from_value(json!({
            "cube": {"default": "1.5", "versions": {"1.4": version(true, None, &[]), "1.5": version(true, None, &[])}},
            "earthdistance": {"default": "1.2", "versions": {"1.2": version(true, None, &["cube"])}},
            "pg_cron": {"default": "1.6", "versions": {"1.6": version(false, Some("pg_catalog"), &["plpgsql"])}},
        }))
        .unwrap()
    }

    fn extension(name: &str, schema: Option<&str>, version: Option<&str>) -> Extension {
        Extension {
            name: SqlName::new(name).unwrap(),
            schema: schema.map(|schema| SqlName::new(schema).unwrap()),
            version: version.map(str::to_owned),
        }
    }

    fn settings(extensions: Vec<Extension>) -> PostgresqlSettings {
        PostgresqlSettings {
            extensions,
            allowed_extensions: vec!["pg_cron".to_owned()],
            ..PostgresqlSettings::default()
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        let offers = offers();
        let refused = |wanted: &Extension, settings: &PostgresqlSettings| {
            let Err(ProviderError::Unsupported(sentence)) = offers.check(wanted, settings) else {
                panic!("{wanted:?}")
            };
            sentence
        };
        let allowed = settings(vec![]);
        let sentence = refused(&extension("cube", None, Some("9")), &allowed);
        assert!(sentence.contains("1.4, 1.5"), "{sentence}");
        let sentence = refused(&extension("pg_cron", Some("audit"), None), &allowed);
        assert!(sentence.contains("\"pg_catalog\""), "{sentence}");
        let sentence = refused(&extension("none", None, None), &allowed);
        assert!(sentence.contains("package"), "{sentence}");
        let sentence = refused(
            &extension("pg_cron", None, None),
            &PostgresqlSettings::default(),
        );
        assert!(sentence.contains("allowedExtensions"), "{sentence}");
        assert!(
            offers
                .check(&extension("pg_cron", None, None), &allowed)
                .is_ok()
        );
    }

    #[test]
    fn what_an_extension_needs_is_asked_for_or_there() {
        let offers = offers();
        let earth = extension("earthdistance", None, None);
        let version = offers.check(&earth, &settings(vec![])).unwrap();
        let alone = settings(vec![earth.clone()]);
        let error = version.refuse_unmet(&earth, &alone, |_| false).unwrap_err();
        assert!(error.to_string().contains("\"cube\""), "{error}");
        assert!(
            version
                .refuse_unmet(&earth, &alone, |name| name == "cube")
                .is_ok()
        );
        let both = settings(vec![earth.clone(), extension("cube", None, None)]);
        assert!(version.refuse_unmet(&earth, &both, |_| false).is_ok());
        let ordered = offers.in_order(&both.extensions);
        let names: Vec<&str> = ordered.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["cube", "earthdistance"]);
        let cron = extension("pg_cron", None, None);
        let version = offers.check(&cron, &both).unwrap();
        assert!(
            version.refuse_unmet(&cron, &both, |_| false).is_ok(),
            "plpgsql is always there"
        );
    }
}
