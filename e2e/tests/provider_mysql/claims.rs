//! The claim table.

use std::sync::Arc;

use db_operator::provider::ProviderError;

use crate::context::{Context, claim};

pub async fn claims_are_written_once(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("claim");
    let ours = claim(&names, &context.unique(""));
    provider.write_claim(&ours, None).await.unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&ours)
    );

    // A rival, which saw nothing, and one that wants half of it.
    let mut rival = claim(&names, &context.unique(""));
    let moved =
        |error: Result<(), ProviderError>| matches!(error, Err(ProviderError::ClaimMoved { .. }));
    assert!(moved(provider.write_claim(&rival, None).await));
    rival.names.database = context.names("half").database;
    assert!(moved(provider.write_claim(&rival, None).await));
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&ours)
    );

    // Changed by somebody who saw it, then by somebody who saw what is no longer there.
    let mut released = ours.clone();
    released.released = true;
    provider.write_claim(&released, Some(&ours)).await.unwrap();
    assert!(moved(provider.write_claim(&released, Some(&ours)).await));
    provider
        .write_claim(&released, Some(&released))
        .await
        .unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&released)
    );

    // A rival forgets nothing of ours.
    rival.names = names.clone();
    provider.forget_claim(&rival).await.unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&released)
    );
    provider.forget_claim(&released).await.unwrap();
    provider.forget_claim(&released).await.unwrap();
    assert_eq!(provider.observe(&names).await.unwrap().claims, []);
}

pub async fn claims_tell_names_apart(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("");
    let cluster = context.unique("");
    for end in ["a", "A", "ä", "á"] {
        let name = format!("{stem}{end}");
        let names = context.named(&name, &name);
        let ours = claim(&names, &cluster);
        provider.write_claim(&ours, None).await.unwrap();
        assert_eq!(provider.observe(&names).await.unwrap().claims, [ours]);
    }
    let all: Vec<_> = provider.survey().await.unwrap().claims;
    assert_eq!(
        all.iter()
            .filter(|claim| claim.claimant.cluster_id == cluster)
            .count(),
        4
    );
}
