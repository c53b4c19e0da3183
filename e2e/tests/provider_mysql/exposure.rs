//! Rights on a database that are not its own user's.

use std::sync::Arc;

use db_operator::provider::{Names, Provider, ProviderError, Removal, Removed, open};

use crate::context::{Context, create, desired};

/// The statement in a refusal that mends it.
fn remedy(sentence: &str) -> String {
    let (_, rest) = sentence.rsplit_once("; run ").unwrap();
    rest.split(", or choose").next().unwrap().to_owned()
}

async fn refusal(provider: &dyn Provider, names: &Names) -> String {
    match provider.validate(&desired(names)).await.unwrap_err() {
        ProviderError::InTheWay(sentence) => sentence,
        other => panic!("{other:?}"),
    }
}

/// An account without a name that nobody can come from, beside all those of other runs.
fn nameless() -> String {
    let [a, b]: [u8; 2] = rand::random();
    format!("''@'10.255.{a}.{b}'")
}

pub(crate) async fn names_that_others_get_at_are_refused(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("rights");
    let mut cases = Vec::new();
    let bi = context.names("bi");
    let account = format!("'{}'@'%'", bi.role);
    context
        .server
        .run(&[format!("CREATE USER {account}")])
        .await
        .unwrap();
    if !context.literal_grants {
        for (database, pattern) in [
            (format!("{stem}_a"), format!("{stem}\\_%")),
            (format!("{stem}bx"), format!("{stem}b_")),
            (format!("{stem}_c"), format!("{stem}_c")),
        ] {
            let grant = format!("GRANT SELECT ON `{pattern}`.* TO {account}");
            cases.push((database, vec![grant], bi.role.to_string()));
        }
    }
    let nobody = nameless();
    let database = format!("{stem}d");
    let grant = format!("GRANT SELECT ON `{database}`.* TO {nobody}");
    cases.push((
        database,
        vec![format!("CREATE USER {nobody}"), grant],
        "everybody".to_owned(),
    ));
    if context.mariadb {
        let database = format!("{stem}e");
        let grant = format!("GRANT SELECT ON `{database}`.* TO PUBLIC");
        cases.push((database, vec![grant], "everybody (PUBLIC".to_owned()));
    }
    for (database, statements, who) in cases {
        let names = context.named(&database, &database);
        provider.validate(&desired(&names)).await.unwrap();
        context.server.run(&statements).await.unwrap();
        let sentence = refusal(provider.as_ref(), &names).await;
        assert!(
            sentence.contains(&who) && sentence.contains(&database),
            "{sentence}"
        );
        context.server.run(&[remedy(&sentence)]).await.unwrap();
        provider.validate(&desired(&names)).await.unwrap();
    }
}

/// Of MySQL: a role that all users have, and the roles of that role.
pub(crate) async fn mandatory_roles_are_everybodys(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let (all, inner) = (context.unique("all"), context.unique("inner"));
    let names = context.names("mandatory");
    let statements = [
        format!("CREATE ROLE '{all}', '{inner}'"),
        format!("GRANT '{inner}' TO '{all}'"),
        format!("GRANT SELECT ON {}.* TO '{inner}'", names.database.mysql()),
        format!("SET GLOBAL mandatory_roles = '{all}'"),
    ];
    context.server.run(&statements).await.unwrap();
    let provider = context.provider().await;
    let refused = provider.validate(&desired(&names)).await;
    context
        .server
        .run(&[
            "SET GLOBAL mandatory_roles = ''".to_owned(),
            format!("DROP ROLE '{all}', '{inner}'"),
        ])
        .await
        .unwrap();
    let Err(ProviderError::InTheWay(sentence)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        sentence.contains("everybody") && sentence.contains(&inner),
        "{sentence}"
    );
    // The next look knows that there are none any more.
    provider.inspect().await.unwrap();
    provider.validate(&desired(&names)).await.unwrap();
}

pub(crate) async fn who_gets_at_databases_is_told_of_the_server(context: Arc<Context>) {
    let provider = context.provider().await;
    let wide = context.names("wide");
    let (account, nobody) = (format!("'{}'@'%'", wide.role), nameless());
    context
        .server
        .run(&[
            format!("CREATE USER {account}"),
            format!("CREATE USER {nobody}"),
        ])
        .await
        .unwrap();
    let mut expected = vec![format!("DROP USER {nobody}")];
    if !context.literal_grants {
        let grant = format!("GRANT SELECT ON `{}%`.* TO {account}", wide.database);
        context.server.run(&[grant]).await.unwrap();
        expected.push(format!(
            "REVOKE ALL PRIVILEGES ON `{}%`.* FROM {account}",
            wide.database
        ));
    }
    let told = |warnings: &[db_operator::provider::Warning]| -> Vec<String> {
        let told = warnings.iter().map(|warning| warning.sql.clone());
        told.filter(|sql| expected.contains(sql)).collect()
    };
    let found = provider.inspect().await.unwrap();
    assert_eq!(found.missing, []);
    assert_eq!(told(&found.warnings), expected, "{:?}", found.warnings);
    context.server.run(&expected).await.unwrap();
    let found = provider.inspect().await.unwrap();
    assert_eq!(told(&found.warnings), [""; 0]);
}

/// A right that comes later is told, and taken back by nobody but who gave it.
pub(crate) async fn a_database_that_others_get_at_says_so(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("ex_posed");
    let wanted = desired(&names);
    create(provider.as_ref(), &wanted, &context.password()).await;
    provider
        .write_claim(&crate::context::claim(&names, &context.unique("")), None)
        .await
        .unwrap();
    let bi = context.names("later");
    let account = format!("'{}'@'%'", bi.role);
    context
        .server
        .run(&[
            format!("CREATE USER {account}"),
            // By hand, on just this database: as most people write it, and as it is right.
            format!("GRANT SELECT ON {}.* TO {account}", names.database.mysql()),
            format!(
                "GRANT SELECT ON {}.* TO {account}",
                context.pattern(&names.database)
            ),
        ])
        .await
        .unwrap();
    let exposures = async || {
        let observed = provider.observe(&names).await.unwrap();
        assert_eq!(provider.survey().await.unwrap().of(&names), observed);
        observed.database.unwrap().exposures
    };
    assert_eq!(exposures().await, [""; 0]);
    let mut grants = Vec::new();
    if !context.literal_grants {
        let stem = names.database.as_str().split('_').next().unwrap();
        grants.push(format!("GRANT SELECT ON `{stem}\\_%`.* TO {account}"));
    }
    if context.mariadb {
        let exact = context.pattern(&names.database);
        grants.push(format!("GRANT SELECT ON {exact}.* TO PUBLIC"));
    }
    for grant in grants {
        context.server.run(&[&grant]).await.unwrap();
        let told = exposures().await;
        assert_eq!(told.len(), 1, "{grant}: {told:?}");
        assert_eq!(provider.ensure_role(&wanted, None).await.unwrap(), []);
        assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
        assert_eq!(exposures().await.len(), 1);
        let (_, statement) = told[0].rsplit_once("run: ").unwrap();
        context.server.run(&[statement]).await.unwrap();
        assert_eq!(exposures().await, [""; 0]);
    }
}

/// Neither server drops privileges with what they are on, and a role of MariaDB has no host.
pub(crate) async fn nothing_is_left_for_a_later_database_of_the_name(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let names = context.names("par_ts");
    let other = context.names("reader");
    let role = context.unique("role");
    let schema = names.database.mysql();
    let exact = context.pattern(&names.database);
    let account = format!("'{}'@'%'", other.role);
    let grants = [
        format!("CREATE USER {account}"),
        format!("CREATE ROLE `{role}`"),
        format!("CREATE TABLE {schema}.t (a INT)"),
        format!("CREATE PROCEDURE {schema}.p() SELECT 1"),
        format!("GRANT SELECT ON {schema}.t TO {account}"),
        format!("GRANT SELECT (a) ON {schema}.t TO `{role}`"),
        format!("GRANT EXECUTE ON PROCEDURE {schema}.p TO {account}"),
        format!("GRANT SELECT ON {exact}.* TO `{role}`"),
    ];
    let left = async || {
        let name = names.database.as_str();
        let sql = format!(
            "SELECT User FROM mysql.tables_priv WHERE Db = '{name}' UNION ALL \
             SELECT User FROM mysql.procs_priv WHERE Db = '{name}' UNION ALL \
             SELECT User FROM mysql.db WHERE Db IN ('{name}', '{}') AND User <> '{name}'",
            name.replace('_', "\\\\_")
        );
        context.server.column(&sql).await.unwrap()
    };
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    context.server.run(&grants).await.unwrap();
    assert_eq!(left().await.len(), 4);
    let removal = Removal {
        names: names.clone(),
        database: true,
        role: true,
    };
    assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
    assert_eq!(left().await, [""; 0]);

    // Of one that somebody else dropped.
    let mut by_hand = vec![format!("CREATE DATABASE {schema}")];
    by_hand.extend(grants[2..].iter().cloned());
    by_hand.push(format!("DROP DATABASE {schema}"));
    context.server.run(&by_hand).await.unwrap();
    assert_eq!(left().await.len(), 4);
    let again = open(context.config(&administrator), context.fence());
    create(again.as_ref(), &desired(&names), &context.password()).await;
    assert_eq!(left().await, [""; 0]);
    context
        .server
        .run(&[format!("DROP ROLE `{role}`")])
        .await
        .unwrap();
}

/// Only on a server of its own: it concerns every database.
pub(crate) async fn what_everybody_may_do_everywhere_is_refused(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("all");
    context
        .server
        .run(&[
            "GRANT PROCESS, SHOW DATABASES ON *.* TO PUBLIC",
            "GRANT INSERT ON *.* TO PUBLIC",
        ])
        .await
        .unwrap();
    let sentence = refusal(provider.as_ref(), &names).await;
    let warnings = provider.inspect().await.unwrap().warnings;
    let mends = remedy(&sentence);
    context.server.run(&[&mends]).await.unwrap();
    assert!(sentence.contains("all databases"), "{sentence}");
    assert!(
        warnings.iter().any(|warning| warning.sql == mends),
        "{warnings:?}"
    );
    provider.validate(&desired(&names)).await.unwrap();
    // These show nobody what is another's.
    context
        .server
        .run(&["GRANT PROCESS, SHOW DATABASES ON *.* TO PUBLIC"])
        .await
        .unwrap();
    let validated = provider.validate(&desired(&names)).await;
    context.server.run(&[mends]).await.unwrap();
    validated.unwrap();
}
