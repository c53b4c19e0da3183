//! The PostgreSQL provider on real servers of every supported version, as an administrator with CREATEDB and CREATEROLE
//! and nothing else, which is what a managed service gives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod assess;
mod claims;
mod connections;
mod contents;
mod fence;
mod fixture;
mod hostile;
mod lifecycle;
mod privileges;
mod removal;
mod settings;
mod silence;
mod turns;

use std::time::Instant;

use fixture::Fixture;

/// Runs each scenario on one server of this series, one after the other: each has names and a cluster id of its own.
macro_rules! scenarios {
    ($fixture:ident: $($module:ident::$name:ident,)+) => {
        $(
            let started = Instant::now();
            eprintln!("PostgreSQL {}: {}::{} …", $fixture.series(), stringify!($module), stringify!($name));
            $module::$name(&mut $fixture).await;
            eprintln!("PostgreSQL {}: {}::{} {} ms", $fixture.series(), stringify!($module), stringify!($name),
                started.elapsed().as_millis());
        )+
    };
}

fn run(series: u32) {
    // The server ends with the thread that started it, which is this one.
    let mut fixture = Fixture::start(series);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        fixture.make_administrator().await;
        scenarios! { fixture:
            privileges::a_server_is_described,
            privileges::tls_is_what_was_asked_for,
            privileges::wrong_credentials_and_addresses_are_told_apart,
            privileges::what_is_missing_is_named_with_sql_that_grants_it,
            privileges::a_read_only_server_is_named,
            lifecycle::a_database_is_made_and_used,
            lifecycle::nothing_changes_the_second_time,
            lifecycle::drift_is_put_right_and_reported,
            lifecycle::what_the_server_cannot_hold_is_refused_before_anything_is_made,
            lifecycle::encoding_and_locale_are_as_asked,
            hostile::names_are_kept_as_they_are,
            hostile::literals_come_back_as_they_were,
            hostile::passwords_of_any_character_log_in,
            hostile::reserved_and_powerful_names_are_never_touched,
            claims::one_writer_wins,
            claims::a_rival_changes_nothing,
            claims::what_stands_there_is_adopted_with_its_data,
            claims::the_survey_says_what_observing_says,
            claims::what_was_never_made_is_not_ours,
            claims::another_of_the_same_name_is_not_ours,
            claims::what_a_crash_left_half_made_is_ours,
            claims::claims_of_the_former_version_go_on,
            claims::ids_of_another_server_say_nothing,
            contents::schemas_and_extensions_are_the_owners,
            contents::the_schema_public_is_like_any_other,
            assess::what_a_dump_cannot_read_is_named_with_its_grant,
            assess::the_size_of_a_dump_is_estimated,
            removal::everything_goes,
            removal::sessions_are_ended_or_named,
            removal::what_is_prepared_is_named_and_left_open,
            removal::a_lock_of_the_users_own_is_ended,
            removal::who_holds_a_lock_is_named,
            removal::a_vacuum_at_work_does_not_keep_a_database,
            removal::what_others_hang_on_a_user_is_taken_away,
            removal::a_user_is_left_over_where_others_keep_it,
            removal::an_open_grant_leaves_a_user_over,
            settings::a_tenants_settings_do_not_reach_our_sessions,
            settings::a_database_that_lets_nobody_in_is_not_the_server,
            removal::it_goes_on_after_a_crash,
            fence::a_former_leader_can_do_nothing,
            fence::who_does_not_lead_does_not_enter,
            fence::connections_of_one_process_share_an_epoch,
            fence::others_are_left_alone,
            fence::a_copied_name_is_nobodys,
            fence::a_process_id_that_was_given_on_is_left_alone,
            fence::tables_of_a_former_version_are_brought_up_to_date,
            fence::a_server_that_forgot_everything_is_begun_again,
            fence::another_server_is_left_alone_until_it_is_acknowledged,
            connections::the_limit_is_never_exceeded,
            connections::a_limited_role_counts_as_a_working_login,
            connections::a_restart_is_survived,
            connections::a_rotated_password_is_followed,
            silence::a_silent_server_is_given_up_soon,
            turns::a_bystander_is_served_while_others_wait_for_locks,
            hostile::no_log_holds_a_password,
        }
    });
}

#[test]
fn postgresql_14() {
    run(14);
}

#[test]
fn postgresql_15() {
    run(15);
}

#[test]
fn postgresql_16() {
    run(16);
}

#[test]
fn postgresql_17() {
    run(17);
}

#[test]
fn postgresql_18() {
    run(18);
}
