//! What the administrator may do.

use std::sync::Arc;

use db_operator::provider::{Login, ProviderError, Removal, Removed, open};

use crate::context::{Context, desired};

pub(crate) async fn missing_privileges_are_named_with_their_grant(context: Arc<Context>) {
    let least = context.least();
    let without = |what: &str| {
        least
            .iter()
            .map(|grant| grant.replace(what, ""))
            .collect::<Vec<_>>()
    };
    let kill = if context.mariadb {
        ", CONNECTION ADMIN"
    } else {
        ", PROCESS"
    };
    for grants in [
        without(" WITH GRANT OPTION"),
        without("TRIGGER, "),
        without(", TRIGGER"),
        without("CREATE USER, "),
        without(kill),
        vec!["GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP ON *.* TO {}".to_owned()],
    ] {
        if grants == least {
            continue;
        }
        let administrator = context.administrator_with(&grants).await;
        let provider = open(context.config(&administrator), context.fence());
        let found = provider.inspect().await.unwrap();
        assert!(!found.missing.is_empty(), "{grants:?}");
        // What the inspection says to run makes it right.
        let told: Vec<_> = found
            .missing
            .iter()
            .map(|missing| missing.grant.clone())
            .collect();
        context.server.run(&told).await.unwrap();
        assert_eq!(provider.inspect().await.unwrap().missing, [], "{grants:?}");
    }

    // An error names a statement that makes it right, too.
    let grants = without(", TRIGGER");
    let administrator = context.administrator_with(&grants).await;
    let provider = open(context.config(&administrator), context.fence());
    let names = context.names("may");
    let wanted = desired(&names);
    let password = context.password();
    let verifier = provider.verifier(&password);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let refused = provider.ensure_database(&wanted).await.unwrap_err();
    let ProviderError::NotPermitted { grant, .. } = refused else {
        panic!("{refused:?}");
    };
    context.server.run(&[grant]).await.unwrap();
    provider.close().await;
    let provider = open(context.config(&administrator), context.fence());
    provider.ensure_database(&wanted).await.unwrap();
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted
    );
    let removal = Removal {
        names,
        database: true,
        role: true,
    };
    assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
}

/// Two of MariaDB's own privileges on schemas are not had by the administrators of all managed servers: one helps to dump
/// routines, the other to delete history. Nothing depends on either.
pub(crate) async fn privileges_that_only_help_are_not_asked_for(context: Arc<Context>) {
    let grants: Vec<_> = context
        .least()
        .iter()
        .map(|grant| grant.replace(", SHOW CREATE ROUTINE", ""))
        .map(|grant| grant.replace(", DELETE HISTORY", ""))
        .collect();
    let administrator = context.administrator_with(&grants).await;
    let provider = open(context.config(&administrator), context.fence());
    assert_eq!(provider.inspect().await.unwrap().missing, []);
    let names = context.names("help");
    let password = context.password();
    crate::context::create(provider.as_ref(), &desired(&names), &password).await;
    assert_eq!(
        provider.ensure_database(&desired(&names)).await.unwrap(),
        []
    );
    let removal = Removal {
        names,
        database: true,
        role: true,
    };
    assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
}

/// Managed servers give their administrator a role that holds the privileges.
pub(crate) async fn privileges_of_a_role_count(context: Arc<Context>) {
    let role = context.unique("admins");
    let quoted = if context.mariadb {
        format!("`{role}`")
    } else {
        format!("`{role}`@`%`")
    };
    let mut statements = vec![format!("CREATE ROLE {quoted}")];
    statements.extend(
        context
            .least()
            .iter()
            .map(|grant| grant.replace("{}", &quoted)),
    );
    context.server.run(&statements).await.unwrap();
    let default = if context.mariadb {
        format!("SET DEFAULT ROLE {quoted} FOR {{}}")
    } else {
        format!("SET DEFAULT ROLE {quoted} TO {{}}")
    };
    let administrator = context
        .administrator_with(&[format!("GRANT {quoted} TO {{}}"), default])
        .await;
    let provider = open(context.config(&administrator), context.fence());
    let found = provider.inspect().await.unwrap();
    assert_eq!(found.missing, []);
    let names = context.names("byrole");
    crate::context::create(provider.as_ref(), &desired(&names), &context.password()).await;
    context
        .server
        .run(&[format!("DROP ROLE {quoted}")])
        .await
        .unwrap();
}
