//! The PostgreSQL provider on real servers of every supported version, as an administrator with CREATEDB and CREATEROLE
//! and nothing else, which is what a managed service gives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accessible;
mod assess;
mod busy;
mod claims;
mod connections;
mod contents;
mod fence;
mod fixture;
mod hostile;
mod inventory;
mod lifecycle;
mod lock_waits;
mod options;
mod privileges;
mod probe;
mod removal;
mod restore_crashes;
mod restore_hostile;
mod restore_leftovers;
mod restore_undo;
mod restores;
mod settings;
mod silence;
mod templates;
mod trials;
mod turns;

use std::time::Instant;

use fixture::Fixture;

/// Runs each scenario on one server of this series, one after the other: each has names and a cluster id of its own.
macro_rules! scenarios {
    ($fixture:ident: $($module:ident::$name:ident,)+) => {
        $(
            let started = Instant::now();
            eprintln!("PostgreSQL {}: {}::{} …", $fixture.series(), stringify!($module), stringify!($name));
            $module::$name($fixture).await;
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
        Box::pin(about_databases(&mut fixture)).await;
        Box::pin(about_restores(&mut fixture)).await;
        Box::pin(about_servers(&mut fixture)).await;
    });
}

/// What is made, claimed and taken away, and who may.
async fn about_databases(fixture: &mut Fixture) {
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
        lifecycle::sessions_that_may_not_write_are_told,
        options::each_version_has_its_locale_providers,
        options::what_exists_is_compared_with_what_is_asked_for,
        templates::a_template_is_copied_where_it_is_allowed,
        templates::what_the_platform_put_into_template1_is_copied_and_left_alone,
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
        contents::an_extension_is_where_and_what_it_is_asked_to_be,
        contents::what_an_extension_needs_comes_first,
        accessible::what_belongs_to_the_former_owner_is_named_with_what_gives_it_away,
        accessible::what_only_a_schema_keeps_from_a_user_does_not_change_hands,
        probe::a_login_sees_what_changed_inside,
        probe::a_login_sees_what_belongs_to_others_by_now,
        probe::a_login_that_looks_is_not_led_astray,
        assess::what_a_dump_cannot_read_is_named_with_its_grant,
        assess::the_size_of_a_dump_is_estimated,
        inventory::what_a_dump_leaves_out_is_told,
        lock_waits::who_holds_up_a_backup_is_named,
        lock_waits::a_prepared_transaction_holds_up_a_backup_too,
        busy::who_holds_up_a_change_is_named,
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
        settings::a_rule_that_bars_a_user_is_told_from_a_wrong_password,
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
    }
}

/// Scratch databases, the swap, and the way back.
async fn about_restores(fixture: &mut Fixture) {
    scenarios! { fixture:
        restores::what_was_loaded_takes_the_databases_place,
        restores::an_empty_database_is_filled,
        restores::nothing_is_lost_that_is_written_at_the_last_moment,
        restores::applications_are_cut_off_for_a_moment,
        restores::who_is_in_the_way_of_a_swap_is_named,
        restores::what_changed_hands_is_left_alone,
        restores::what_was_adopted_is_never_dropped,
        restores::names_are_cut_or_refused,
        restores::what_a_login_left_becomes_the_owners,
        restores::a_removal_takes_along_what_restores_left,
        restores::extensions_are_there_beforehand,
        restores::a_former_leader_swaps_nothing,
        restores::the_epoch_counts_in_the_transaction_of_the_swap,
        restores::tables_about_restores_are_added,
        restore_hostile::templates_are_dropped_all_the_same,
        restore_hostile::a_long_comment_sheds_no_settings,
        restore_hostile::a_login_acts_for_nobody_once_the_claim_changed_hands,
        restore_hostile::what_a_login_hangs_on_itself_is_taken_away,
        restore_hostile::a_login_that_cannot_be_dropped_keeps_nobody,
        restore_hostile::what_is_prepared_in_the_loaded_database_is_named_before_anyone_is_ended,
        restore_hostile::another_database_than_the_claims_is_not_replaced,
        restore_leftovers::an_error_that_repeats_is_a_try,
        restore_leftovers::a_clock_that_is_set_back_leaves_a_restore_readable,
        restore_leftovers::a_swap_that_was_taken_for_failed_leaves_nothing,
        restore_leftovers::a_database_that_is_still_being_made_is_waited_for,
        restore_leftovers::a_right_for_good_stays,
        restore_undo::who_looks_into_a_former_database_is_ended_or_named,
        restore_undo::what_was_changed_since_stays,
        trials::a_backup_is_tried_out_in_a_database_that_goes_again,
        trials::what_a_server_does_not_allow_is_named_beforehand,
        trials::what_is_somebody_elses_is_left_alone,
        trials::what_a_lost_restore_left_is_listed_and_dropped_alone,
        restore_crashes::a_restore_survives_an_end_at_each_request,
    }
}

/// What would disturb the others; and last of all, what they left in the log.
async fn about_servers(fixture: &mut Fixture) {
    scenarios! { fixture:
        connections::the_limit_is_never_exceeded,
        connections::a_limited_role_counts_as_a_working_login,
        connections::a_restart_is_survived,
        connections::a_rotated_password_is_followed,
        silence::a_silent_server_is_given_up_soon,
        turns::a_bystander_is_served_while_others_wait_for_locks,
        hostile::no_log_holds_a_password,
    }
}

/// Servers whose own default is a locale of ICU.
#[test]
fn icu_servers() {
    for series in 15..=18 {
        let arguments = ["--locale-provider=icu", "--icu-locale=en-US"];
        let mut fixture = Fixture::start_with(series, &arguments);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            fixture.make_administrator().await;
            let fixture = &mut fixture;
            scenarios! { fixture:
                options::a_server_of_icu_makes_what_is_asked_for,
                options::each_version_has_its_locale_providers,
            }
        });
    }
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
