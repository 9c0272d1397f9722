//! What every database must do, operation by operation. Each case gets a fresh one.

pub mod access;
pub mod audit_reading;
pub mod auditing;
pub mod backfilling;
pub mod certificates;
pub mod claiming;
pub mod erasing;
pub mod health;
pub mod holding;
pub mod lanes;
pub mod lifecycle;
pub mod operating;
pub mod reading;
pub mod registry;
pub mod remembering;
pub mod replanning;
pub mod replaying;
pub mod retention;
pub mod runs;
pub mod views;
pub mod webhooks;

/// Runs every case against a database.
macro_rules! conformance {
    ($name:ident, $database:ty) => {
        mod $name {
            $crate::store::conformance::conformance! { @cases $database,
                registry: [
                    an_enterprise_is_put_and_renamed,
                    an_application_is_created_once_and_renamed,
                    keys_come_and_go,
                    a_rotated_key_overlaps_and_its_use_is_noted,
                    lists_are_paged,
                    all_is_there_after_reopening,
                ]
                webhooks: [
                    a_webhook_begins_with_the_defaults,
                    every_setting_is_kept,
                    a_change_names_the_revision_it_is_based_on,
                    secrets_overlap_when_rotated,
                    each_kind_of_secret_is_rotated_apart,
                    every_way_to_authenticate_is_kept,
                    an_id_is_taken_once,
                    a_deleted_webhook_is_gone_and_its_deliveries_end,
                    webhooks_are_listed_by_application,
                ]
                lifecycle: [
                    a_creation_is_one_commit_with_its_message_and_deliveries,
                    what_is_missing_or_taken_is_refused_and_nothing_changes,
                    each_command_tells_its_message,
                    a_command_that_changes_nothing_says_so,
                    a_refused_command_changes_nothing,
                    only_those_that_want_it_get_it,
                    profile_2025_has_its_own_bytes,
                    bytes_outlive_a_change_of_profile,
                    commands_at_once_have_gapless_sequences,
                ]
                lanes: [
                    only_the_head_is_due,
                    the_next_is_due_when_the_head_is_delivered,
                    a_retry_keeps_the_lane,
                    a_used_up_schedule_lets_the_lane_go_on,
                    lanes_are_independent,
                    previous_is_the_last_of_this_lane,
                    a_discarded_head_lets_the_lane_go_on,
                    a_discarded_one_behind_the_head_is_skipped,
                    only_the_pending_can_be_discarded,
                    attempts_are_kept_whole,
                ]
                claiming: [
                    a_claim_tells_all_that_sending_needs,
                    what_is_claimed_is_not_claimed_again,
                    claims_come_in_the_order_they_are_due,
                    a_claim_says_when_there_is_more,
                    several_webhooks_are_claimed_at_once,
                    a_released_claim_is_due_again,
                    a_fence_that_is_not_held_records_nothing,
                    reopening_frees_what_was_claimed,
                    claims_at_once_share_what_is_due,
                ]
                holding: [
                    a_webhook_that_is_not_enabled_is_held,
                    gone_disables_the_webhook,
                    a_pause_of_the_receiver_holds_the_webhook,
                    enabling_ends_the_pause,
                    a_held_lane_is_counted_once,
                ]
                health: [
                    ten_failures_open_the_circuit,
                    an_open_circuit_shows_in_the_next_attempt,
                    one_attempt_at_a_time_finds_out,
                    the_backlog_drains_on_a_ramp,
                    enabling_it_or_another_url_closes_the_circuit,
                    our_own_faults_do_not_count,
                    five_days_of_failures_disable_it,
                    a_success_is_all_that_it_takes_to_be_clean,
                ]
                views: [
                    a_link_opens_one_session_of_its_scope,
                    a_link_that_is_over_opens_nothing,
                    a_session_is_prolonged_and_ended,
                    what_is_failing_is_grouped,
                    the_newest_attempts_of_a_webhook_are_told,
                    a_webhooks_history_is_told_in_spans,
                    leafed_through_a_filter_gives_all_of_it,
                    a_page_of_a_former_time_begins_there,
                    names_are_found_by_a_part_of_them,
                ]
                replaying: [
                    a_delivered_one_is_sent_again,
                    a_failed_one_is_sent_again_and_then_delivered,
                    a_pending_one_keeps_its_planned_try,
                    a_replayed_head_that_arrives_lets_the_lane_go_on,
                    one_behind_the_head_cannot_be_replayed,
                    one_under_way_cannot_be_replayed_or_discarded,
                    a_lane_sends_one_at_a_time,
                    a_replay_that_waited_keeps_its_place,
                    a_replayed_discarded_one_leaves_the_lane_waiting,
                    nothing_is_replayed_to_a_deleted_webhook,
                ]
                replanning: [
                    a_retry_waits_as_long_as_it_was_to_wait,
                    a_first_try_is_not_lost_in_the_future,
                    what_became_the_head_in_the_future_is_not_lost_there,
                    a_plan_that_the_clock_has_passed_stays,
                    a_pause_of_the_receiver_lasts_as_long,
                    a_pause_lasts_as_long_however_often_the_clock_is_set_back,
                    a_circuit_asks_soon,
                    what_waits_for_nobody_is_left_alone,
                ]
                certificates: [
                    the_end_of_a_certificate_is_told_once_at_each_moment,
                    what_is_valid_or_gone_is_not_told,
                ]
                operating: [
                    nothing_is_told_of_what_arrives_or_is_retried,
                    a_disabled_webhook_is_told_once,
                    a_record_that_is_lost_tells_nothing,
                    the_first_lost_delivery_is_told_at_once_and_more_of_them_together,
                    webhooks_lose_apart,
                    what_is_gathered_survives_and_tells_of_a_deleted_webhook,
                    each_destination_gets_them_in_order,
                    an_attempt_is_recorded_once,
                    a_used_up_schedule_lets_the_next_go,
                    operational_messages_are_paged_newest_first,
                    old_operational_messages_go_whatever_came_of_them,
                ]
                runs: [
                    a_count_tells_what_would_be_sent,
                    a_run_starts_only_as_it_was_previewed,
                    a_run_sends_each_once_in_order,
                    a_failed_replay_of_a_run_is_one_attempt,
                    a_run_leaves_what_is_pending_on_its_schedule,
                    a_run_goes_on_after_reopening,
                    a_run_yields_to_what_is_due,
                    a_run_waits_for_a_webhook_that_is_held,
                    a_paused_run_sends_nothing_until_it_is_resumed,
                    a_canceled_run_leaves_everything_as_it_was,
                    a_step_is_taken_once,
                    what_was_settled_since_the_count_is_skipped,
                    staleness_follows_the_history,
                    what_has_no_cause_is_passed_over,
                ]
                backfilling: [
                    a_backfill_gives_the_history_in_order,
                    a_backfill_ends_when_all_has_arrived,
                    a_backfill_keeps_to_what_it_names_and_the_webhook_wants,
                    a_backfill_comes_before_what_is_pending,
                    a_new_message_waits_for_what_is_backfilled,
                    a_paused_backfill_makes_nothing_more,
                    no_backfill_without_its_webhook,
                ]
                remembering: [
                    the_same_request_has_the_same_answer,
                    another_request_with_the_key_is_refused,
                    a_key_is_forgotten_in_time,
                    a_refused_request_is_not_remembered,
                    the_same_request_at_once_is_done_once,
                ]
                retention: [
                    what_ended_long_ago_goes_with_its_attempts,
                    what_is_pending_or_to_be_sent_again_stays,
                    what_ended_late_goes_when_it_is_looked_at_again,
                    an_emptied_lane_still_knows_what_came_before,
                    the_last_of_a_lane_stays_while_an_earlier_one_does,
                    a_deleted_integration_goes_with_its_messages_after_its_deliveries,
                    messages_of_integrations_that_live_stay,
                    a_deleted_webhook_goes,
                    expired_keys_go,
                    an_ended_replay_goes,
                    the_newest_backfill_of_a_webhook_stays,
                    much_goes_a_little_at_a_time,
                    nothing_goes_that_is_kept_for_ever,
                ]
                erasing: [
                    a_body_goes_once_all_its_deliveries_have_ended,
                    what_failed_or_was_discarded_goes_as_well,
                    what_nobody_wanted_goes,
                    both_forms_of_a_body_go,
                    what_is_to_be_sent_again_stays,
                    a_replay_of_it_is_refused,
                    what_a_run_may_still_send_stays,
                    a_run_passes_over_it_and_says_so,
                    a_backfill_leaves_it_out_and_the_lane_goes_on,
                    what_was_purged_first_goes_as_well,
                    what_was_left_is_looked_at_when_it_is_asked_for,
                    what_a_deleted_webhook_had_goes,
                    much_is_erased_a_little_at_a_time,
                ]
                access: [
                    it_follows_each_command,
                    a_former_token_ends_by_the_clock,
                    what_is_unknown_is_known_once_it_is_created,
                    a_command_nobody_waits_for_counts,
                    nobody_sees_what_was_before_an_answer,
                ]
                auditing: [
                    each_change_leaves_one_entry,
                    an_entry_says_who_and_what_and_no_secret,
                    what_changes_nothing_leaves_nothing,
                    a_secret_that_is_shown_again_is_noted,
                    the_server_notes_what_it_disables,
                    all_is_linked_and_there_after_reopening,
                ]
                audit_reading: [
                    entries_are_filtered,
                    entries_are_paged_newest_first,
                    a_question_that_fits_little_ends,
                ]
                reading: [
                    integrations_are_filtered,
                    a_history_is_read_in_order,
                    deliveries_are_filtered,
                    deliveries_are_paged_newest_first,
                    what_is_not_there_is_not_found,
                    figures_equal_the_truth,
                ]
            }
        }
    };
    (@cases $database:ty, $($area:ident: [$($case:ident,)*])*) => {$(
        mod $area {
            use $crate::store::{conformance::$area, world::World};

            $(
                #[tokio::test]
                async fn $case() {
                    if !<$database as $crate::store::databases::Database>::is_there() {
                        return;
                    }
                    $area::$case(World::<$database>::new().await).await;
                }
            )*
        }
    )*};
}

pub(super) use conformance;
