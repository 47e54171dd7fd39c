//! Real commands, started by a real keeper.
//!
//! This executable is that keeper, too, when it is called as `it keeper DIR` (and a daemon to be killed as `it daemon
//! DIR`): a keeper has to start before any thread
//! exists, which the usual harness would not let it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod attach;
mod keeper_dies;
mod output;
mod scene;
mod stop;
mod tree;
mod unlogged;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Makes a trial of each function, named as the usual harness would.
macro_rules! trials {
    ($($module:ident::$test:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            scene::within($module::$test());
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
    if let [_, word, dir] = arguments.as_slice()
        && word == "daemon"
    {
        scene::within(attach::be_a_daemon(PathBuf::from(dir)));
        return ExitCode::SUCCESS;
    }
    let trials = trials![
        attach::a_dropped_future_hurts_nothing,
        attach::an_end_that_nobody_saw_is_reported_later,
        attach::a_new_daemon_continues_the_log_at_every_point,
        attach::killed_daemons_lose_nothing,
        attach::release_forgets_and_discards,
        attach::what_never_started_can_be_told_apart,
        keeper_dies::the_command_finishes_and_is_lost,
        keeper_dies::a_finished_command_is_still_known,
        keeper_dies::a_command_whose_records_are_gone_is_watched_to_its_end,
        keeper_dies::an_orphan_can_be_stopped,
        output::exit_codes_and_signals,
        output::everything_in_order_and_redacted,
        output::a_hundred_side_by_side,
        output::captured_output_goes_to_files,
        output::what_cannot_start_says_why,
        output::what_a_command_goes_without_is_noted,
        stop::a_polite_command_ends_by_itself,
        stop::a_stubborn_command_is_killed,
        stop::a_command_that_finishes_meanwhile_has_its_own_exit,
        stop::nothing_is_started_to_be_stopped,
        stop::stopping_signals_the_tool_and_not_its_children,
        tree::leftovers_are_killed_and_named,
        tree::open_output_delays_nothing,
        unlogged::nothing_is_started_without_a_log,
        unlogged::an_exit_is_known_whatever_became_of_the_log,
        unlogged::what_was_started_is_attended_to_without_a_log,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
