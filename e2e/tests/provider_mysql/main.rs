//! The provider for MySQL and MariaDB against real servers: MariaDB 10.11 as a local process, always, and the servers
//! `mariadb` and `mysql` of the cluster where `KUBECONFIG` names one.
//!
//! Each scenario runs on each server, all at the same time; what a scenario makes has names of its own and is removed
//! at the end, so that the run can be repeated on servers that go on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod assess;
mod busy;
mod claims;
mod context;
mod drift;
mod exposure;
mod faults;
mod fence;
mod identity;
mod inventory;
mod life;
mod lock_waits;
mod names;
mod removal;
mod restore;
mod restore_crashes;
mod rights;
mod settings;
mod trials;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::sql_servers::mariadb::LocalMariadb;
use e2e::sql_servers::mysql::MysqlServer;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use self::context::Context;

type Scenario = (&'static str, fn(Arc<Context>) -> BoxFuture<'static, ()>);

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), |context| Box::pin($module::$name(context)))),*]
    };
}

/// On every server.
const EVERYWHERE: &[Scenario] = scenarios![
    life::a_database_is_created_and_its_user_logs_in,
    life::the_second_time_nothing_is_changed,
    life::a_login_tells_what_is_wrong,
    life::a_changed_password_is_followed,
    life::character_sets_are_followed,
    life::a_collation_of_mariadb_is_the_same_in_two_spellings,
    life::a_survey_says_what_observe_says,
    life::inspection_tells_what_was_found,
    claims::claims_are_written_once,
    claims::claims_tell_names_apart,
    claims::what_was_never_made_is_not_ours,
    claims::what_a_crash_left_half_made_is_ours,
    claims::what_is_made_anew_is_ours_again,
    names::odd_names_and_passwords_work,
    names::names_that_differ_never_meet,
    names::wildcards_in_names_reach_nothing_else,
    names::what_the_server_cannot_hold_is_refused,
    names::identifiers_and_literals_come_back_as_they_were,
    names::any_password_logs_in,
    names::a_password_that_is_too_long_is_told,
    drift::drift_is_seen_and_put_back,
    drift::privileges_of_an_earlier_database_are_revoked,
    drift::an_adopted_database_keeps_its_data,
    drift::powers_are_named,
    drift::an_account_at_another_host_is_in_the_way,
    drift::a_changed_password_is_seen,
    drift::what_hinders_a_login_is_told_from_what_does_not,
    drift::further_factors_are_taken_back,
    exposure::names_that_others_get_at_are_refused,
    exposure::who_gets_at_databases_is_told_of_the_server,
    exposure::a_database_that_others_get_at_says_so,
    exposure::nothing_is_left_for_a_later_database_of_the_name,
    lock_waits::who_holds_up_a_backup_is_named,
    removal::events_do_not_keep_a_user_there,
    removal::a_prepared_transaction_is_named_with_what_ends_it,
    removal::what_an_owner_made_read_only_is_dropped,
    removal::foreign_keys_of_others_are_named_before_anything_is_dropped,
    removal::a_removal_ends_sessions_and_is_complete,
    removal::a_removal_takes_only_what_it_is_told,
    removal::who_is_in_the_way_is_named,
    removal::what_the_user_defined_elsewhere_is_named,
    removal::a_removal_that_was_cut_short_is_completed,
    restore::a_load_takes_the_place_of_nothing,
    restore::a_load_that_is_given_up_leaves_nothing,
    restore::what_is_in_a_target_is_never_dropped,
    restore::a_load_begins_anew,
    restore::a_target_that_changed_hands_is_left_alone,
    restore::a_superseded_process_restores_nothing,
    restore::what_refers_to_a_load_is_named,
    restore::a_retained_password_does_not_log_in_during_a_load,
    restore::a_user_that_was_adopted_is_let_in_again,
    restore::a_right_that_a_load_needs_is_named,
    restore::a_database_that_is_removed_takes_its_load_along,
    restore::who_else_may_change_a_target_is_named,
    restore::the_user_of_a_target_that_was_dropped_is_let_in,
    trials::a_backup_is_tried_out_in_a_schema_that_goes_again,
    trials::what_is_somebody_elses_is_left_alone,
    trials::a_former_leader_makes_nothing,
    trials::what_a_lost_restore_left_is_listed_and_dropped_alone,
    restore_crashes::a_load_that_is_begun_is_completed,
    restore_crashes::a_load_that_is_begun_anew_is_completed,
    restore_crashes::a_swap_is_done_or_not,
    restore_crashes::a_load_that_is_given_up_is_given_up,
    assess::what_a_dump_cannot_read_is_named_with_its_grant,
    assess::the_size_of_a_dump_is_estimated,
    inventory::what_a_dump_leaves_out_is_told,
    inventory::rows_that_no_statement_can_hold_are_told,
    rights::missing_privileges_are_named_with_their_grant,
    rights::privileges_of_a_role_count,
    rights::privileges_that_only_help_are_not_asked_for,
    fence::a_superseded_process_can_do_nothing,
    fence::a_lock_that_somebody_else_took_names_nobody,
    fence::only_one_of_many_wins,
    fence::clusters_and_people_are_left_alone,
    fence::who_does_not_lead_does_nothing,
    fence::one_process_shares_its_epoch,
    fence::one_process_enters_once_however_often_it_meets_the_server,
    faults::connections_stay_within_the_limit,
    faults::a_rotated_admin_password_is_told,
    faults::tls_is_what_was_asked_for,
];

/// On every server, when all others are done there: they change what concerns every session.
const LAST: &[Scenario] = scenarios![
    exposure::mandatory_roles_are_everybodys,
    settings::a_password_that_was_used_before_is_set_again,
    settings::a_policy_that_asks_for_more_than_a_password_is_told,
    settings::a_user_that_wrong_passwords_have_blocked_may_log_in_again,
    lock_waits::a_table_is_named_where_the_server_tells,
    busy::who_holds_up_a_change_is_named,
];

/// On a server that no other scenario uses at the same time, one after the other.
const ALONE: &[Scenario] = scenarios![
    claims::tables_of_the_former_version_are_brought_up_to_date,
    fence::tables_of_a_newer_version_are_left_alone,
    faults::a_server_that_folds_names_refuses_upper_case,
    faults::a_read_only_server_is_told,
    exposure::what_everybody_may_do_everywhere_is_refused,
    faults::what_a_server_is_set_to_for_all_does_not_reach_us,
    faults::the_procedure_of_a_managed_server_ends_sessions,
    settings::a_check_of_passwords_is_told_with_what_lets_hashes_in,
    settings::an_init_connect_that_fails_lets_no_one_in,
    settings::wrong_passwords_that_lock_a_user_are_told,
    settings::a_server_that_demands_tls_says_so,
    settings::a_binary_log_that_keeps_functions_out_is_told,
    faults::a_restarted_server_is_worked_with_again,
    identity::a_server_that_forgot_everything_is_begun_again,
    identity::another_server_is_left_alone_until_it_is_acknowledged,
    fence::a_server_that_was_restored_is_entered_again,
];

/// Scenarios at a time on one server: as many as an operator's workers would be, not as a crowd of clients.
const AT_A_TIME: usize = 6;

/// Longer than any scenario should take; what hangs is reported by its name. The longest have a crash after every statement.
const LIMIT: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_scenario_on_every_server() {
    let (local, alone) = tokio::join!(
        LocalMariadb::start(&[]),
        LocalMariadb::start(&["--lower-case-table-names=1"])
    );
    let (local, mut alone) = (local.unwrap(), alone.unwrap());
    alone.server.name = "mariadb 10.11 that folds names (local)".to_owned();
    let mut servers = vec![local.server.clone()];
    if std::env::var_os("KUBECONFIG").is_some() {
        for name in ["mariadb", "mysql"] {
            servers.push(MysqlServer::in_cluster(name).unwrap());
        }
    }
    // Servers for those who develop here: HOST:PORT:SUPERUSER:PASSWORD:CA-FILE, separated by commas.
    for given in std::env::var("DB_OPERATOR_E2E_MYSQL")
        .unwrap_or_default()
        .split(',')
    {
        servers.extend(context::given(given));
    }

    let mut runs = Vec::new();
    let mut contexts = Vec::new();
    for server in servers {
        let context = Context::new(server, None).await;
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        for scenario in EVERYWHERE {
            let (context, turns) = (Arc::clone(&context), Arc::clone(&turns));
            runs.push(tokio::spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                run(*scenario, context).await
            }));
        }
        contexts.push(context);
    }
    let everywhere = contexts.clone();
    let context = Context::new(alone.server.clone(), Some(alone)).await;
    contexts.push(Arc::clone(&context));
    runs.push(tokio::spawn(async move {
        let mut failures = Vec::new();
        for scenario in ALONE {
            failures.extend(run(*scenario, Arc::clone(&context)).await);
        }
        failures
    }));

    let mut failures = Vec::new();
    for finished in runs {
        failures.extend(finished.await.unwrap());
    }
    for context in everywhere {
        for scenario in LAST {
            failures.extend(run(*scenario, Arc::clone(&context)).await);
        }
    }
    for context in &contexts {
        failures.extend(context.clean().await.err());
    }
    let general_log = std::fs::read(local.general_log()).unwrap();
    let canary = context::CANARY.as_bytes();
    if general_log
        .windows(canary.len())
        .any(|window| window == canary)
    {
        failures.push("a password stands in the local server's general log".to_owned());
    }
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Runs one scenario; what went wrong, with the server's name.
async fn run((name, scenario): Scenario, context: Arc<Context>) -> Vec<String> {
    let began = Instant::now();
    let server = context.server.name.clone();
    let outcome =
        tokio::time::timeout(LIMIT, AssertUnwindSafe(scenario(context)).catch_unwind()).await;
    let seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(Ok(())) => {
            println!("ok     {seconds:5.1} s  {name} on {server}");
            Vec::new()
        }
        Ok(Err(panic)) => {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            vec![format!(
                "FAILED {seconds:5.1} s  {name} on {server}: {message}"
            )]
        }
        Err(_) => vec![format!("HANGS  {seconds:5.1} s  {name} on {server}")],
    }
}
