//! Real processes, supervised through a real keeper.
//!
//! This executable is that keeper, too, when it is called as `it keeper DIR`: a keeper has to start before any thread
//! exists, which the usual harness would not let it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod adoption;
mod children;
mod declarations;
mod detecting;
mod hooks;
mod life;
mod logs;
mod many;
mod measuring;
mod pid_files;
mod probing;
mod refusals;
mod scene;
mod stops;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Makes a trial of each function, named as the usual harness would.
macro_rules! trials {
    ($($module:ident::$test:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            children::within($module::$test());
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    if let Some(code) = piton_keeper::launch_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, dir] = arguments.as_slice()
        && word == "keeper"
    {
        return match piton_keeper::run(&PathBuf::from(dir)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let trials = trials![
        adoption::a_supervisor_that_comes_back_finds_everything_as_it_was,
        adoption::an_end_while_nobody_looked_is_judged_by_the_policy,
        adoption::what_changed_meanwhile_is_replaced_and_what_did_not_is_not,
        adoption::what_is_no_longer_declared_is_stopped,
        adoption::a_killed_keeper_costs_no_process,
        adoption::whose_output_died_with_the_keeper_says_so,
        adoption::what_both_left_is_seen_by_who_only_looks,
        adoption::what_both_left_is_seen_by_its_own_file,
        adoption::an_end_that_another_keeper_tells_before_anything_is_declared_counts,
        adoption::what_was_stopped_by_hand_stays_stopped,
        declarations::what_did_not_change_is_left_alone,
        declarations::policies_change_in_place,
        declarations::a_circle_changes_nothing,
        declarations::two_processes_cannot_have_one_instance,
        declarations::scaling_adds_and_removes_the_difference,
        declarations::another_number_counts_more_than_a_wish_before_it,
        declarations::from_one_to_several_is_another_name,
        declarations::who_is_declared_again_begins_anew,
        life::it_starts_restarts_and_stops,
        life::what_crashes_is_replaced_at_once,
        life::flapping_is_given_up_until_a_hand_starts_it,
        life::a_start_counts_after_its_time,
        life::lower_priorities_start_earlier,
        life::dependencies_come_first_and_go_last,
        life::a_dependency_that_fails_is_told,
        life::a_restart_starts_first_what_is_needed,
        life::groups_start_and_stop_in_order,
        life::hooks_run_around_a_start_and_a_stop,
        life::output_goes_to_the_files_that_are_named,
        life::a_process_that_detaches_is_seen_by_its_pid_file,
        life::a_process_that_detaches_is_probed,
        life::an_unready_process_holds_up_who_needs_it_healthy,
        life::one_is_ready_before_the_next_is_stopped,
        logs::what_is_put_aside_is_compressed_and_read_as_one_log,
        logs::what_the_keeper_removed_before_anybody_read_is_told,
        many::three_hundred_instances,
        refusals::what_cannot_start_says_why,
        refusals::what_nobody_declared_is_unknown,
        refusals::what_cannot_be_remembered_is_not_done,
        stops::who_ignores_the_first_signal_gets_the_next,
        stops::nobody_escapes_into_another_session,
        stops::the_stopped_are_continued_to_be_stopped,
        stops::a_command_may_stop_it,
        stops::less_patience_may_be_asked_for_later,
        detecting::a_pid_file_or_a_command_tells,
        hooks::run_in_order_with_their_environment_and_a_headed_log,
        hooks::each_failure_mode_is_honoured,
        hooks::one_that_takes_too_long_is_killed_with_all_it_started,
        hooks::an_asynchronous_one_goes_on_and_is_told,
        hooks::a_supervisor_that_comes_back_counts_each_once,
        hooks::one_whose_keeper_died_is_interrupted,
        hooks::what_cannot_start_fails,
        hooks::those_beside_a_start_are_attended_to_their_end,
        hooks::one_left_before_a_start_is_taken_back,
        hooks::a_chain_after_a_start_goes_on,
        hooks::those_after_a_start_come_when_another_supervisor_sees_it_grow,
        hooks::one_that_nobody_takes_back_ends_in_its_time,
        hooks::a_stop_takes_its_hooks_back,
        hooks::those_before_a_start_end_with_a_stop,
        hooks::one_that_was_cut_short_is_done_for_no_later_supervisor,
        hooks::a_later_supervisor_waits_for_one_that_was_cut_short,
        hooks::less_patience_with_one_before_a_start_may_be_asked_for_later,
        measuring::a_process_and_its_descendants,
        measuring::a_thousand_take_little_time,
        pid_files::what_was_written_is_read_and_removed,
        pid_files::no_lie_is_believed,
        pid_files::one_of_provisr_is_accepted,
        pid_files::nothing_but_a_pid_file_is_replaced,
        pid_files::no_secret_is_written,
        pid_files::another_declared_file_leaves_none_behind,
        pid_files::what_another_supervisor_keeps_running_is_not_started_again,
        probing::commands_connections_and_requests,
        probing::startup_comes_first,
        probing::liveness_failures_are_always_told,
        probing::dropping_ends_what_runs,
        probing::what_another_supervisor_left_is_cleared,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
