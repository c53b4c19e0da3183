//! Servers that are not the one of before: made anew, or another one behind the same address.

use std::sync::Arc;

use db_operator::provider::{Expected, ProviderError, open};

use crate::context::{Context, create, desired};

pub(crate) async fn a_server_that_forgot_everything_is_begun_again(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let fence = context.fence();
    let provider = open(context.config(&administrator), fence);
    let names = context.names("forgot");
    let before = provider.inspect().await.unwrap().identity;
    context
        .server
        .run(&["DROP DATABASE db_operator"])
        .await
        .unwrap();
    // An open session notices when it needs a table; a retry makes all of it again.
    let mut outcome = provider.survey().await;
    for _ in 0..3 {
        if outcome.is_ok() {
            break;
        }
        outcome = provider.survey().await;
    }
    assert!(outcome.unwrap().claims.is_empty());
    assert_ne!(provider.inspect().await.unwrap().identity, before);
    create(provider.as_ref(), &desired(&names), &context.password()).await;
}

/// The server behind an address may be another one at any time: here, one without the former `db_operator`.
pub(crate) async fn another_server_is_left_alone_until_it_is_acknowledged(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let fence = context.fence();
    let provider = open(context.config(&administrator), fence.clone());
    let names = context.names("moved");
    let known = provider.inspect().await.unwrap().identity.unwrap();
    provider.expect(Expected::new(Some(&known), None));
    provider.observe(&names).await.unwrap();
    context
        .server
        .run(&["DROP DATABASE db_operator"])
        .await
        .unwrap();

    // A session that is open finds no claims, and that is an error; a new one does not even look for them.
    provider.observe(&names).await.unwrap_err();
    let error = provider.observe(&names).await.unwrap_err();
    let ProviderError::IdentityChanged { found, .. } = error else {
        panic!("{error}")
    };
    for _ in 0..2 {
        let inspected = provider.inspect().await.unwrap();
        assert_eq!(inspected.identity.as_ref(), Some(&found));
    }
    let home = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'db_operator'";
    assert_eq!(
        context.server.value(home).await.unwrap().as_deref(),
        Some("0"),
        "something was made"
    );

    // A process that began since follows the acknowledgement of what its predecessor proposed.
    let next = open(context.config(&administrator), fence);
    next.expect(Expected::new(Some(&known), Some(&found)));
    let inspected = next.inspect().await.unwrap();
    assert_eq!(inspected.identity.as_ref(), Some(&found));
    next.expect(Expected::new(Some(&found), None));
    create(next.as_ref(), &desired(&names), &context.password()).await;
    let error = provider.observe(&names).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::IdentityChanged { .. }),
        "{error}"
    );
    next.close().await;
    provider.close().await;
}
