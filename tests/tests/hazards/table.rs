//! The table: each scenario, by the file it is in, on each framework.
//!
//! Requests go over sockets. Time is tokio's, paused; in a `real` scenario it is the machine's, in one of
//! `threads` as well, on several threads, and in one of `http2` as well, in that version. Where a scenario is about what no wire carries, the service is
//! `called`. One that cannot apply to a framework is named with the reason.

use crate::support::{Framework, Time, Way, run};

macro_rules! scenarios {
    ($($file:ident { $($time:ident $name:ident $(not_on $not:ident $why:literal)*;)* })*) => {
        mod on_tower {
            use super::*;
            $(mod $file {
                use super::*;
                $(scenario!(Tower $time $file $name [$($not)*]);)*
            })*
        }
        mod on_axum {
            use super::*;
            $(mod $file {
                use super::*;
                $(scenario!(Axum $time $file $name [$($not)*]);)*
            })*
        }
        mod on_actix {
            use super::*;
            $(mod $file {
                use super::*;
                $(scenario!(Actix $time $file $name [$($not)*]);)*
            })*
        }
    };
}

macro_rules! scenario {
    (Tower $time:ident $file:ident $name:ident [Tower $($more:ident)*]) => {};
    (Axum $time:ident $file:ident $name:ident [Axum $($more:ident)*]) => {};
    (Actix $time:ident $file:ident $name:ident [Actix $($more:ident)*]) => {};
    ($on:ident $time:ident $file:ident $name:ident [$other:ident $($more:ident)*]) => {
        scenario!($on $time $file $name [$($more)*]);
    };
    ($on:ident $time:ident $file:ident $name:ident []) => {
        #[test]
        fn $name() {
            let (way, time) = how!($time);
            run(Framework::$on, way, time, crate::$file::$name());
        }
    };
}

macro_rules! how {
    (paused) => {
        (Way::Wire, Time::Paused)
    };
    (called) => {
        (Way::Call, Time::Paused)
    };
    (called_on_threads) => {
        (Way::Call, Time::Threads)
    };
    (real) => {
        (Way::Wire, Time::Real)
    };
    (http2) => {
        (Way::Http2, Time::Real)
    };
    (threads) => {
        (Way::Wire, Time::Threads)
    };
}

scenarios! {
    admin {
        paused adm_01_nothing_is_purged_over_http_unless_a_handler_does_it;
        paused adm_01_a_handler_purges_whom_it_lets;
        paused adm_04_too_many_groups_or_too_long_ones_are_not_stored;
        paused adm_05_a_purge_reaches_its_own_cache_only;
        paused adm_05_a_group_reaches_all_its_responses_and_no_others;
        paused adm_05_a_purge_refuses_what_is_on_its_way;
    }
    bodies {
        called sto_41_a_body_of_another_length_than_declared_is_not_stored
            not_on Actix "a server says what length the body has; those over sockets run";
        called sto_41_those_who_wait_never_get_a_short_body_for_a_whole_one
            not_on Actix "a server says what length the body has; those over sockets run";
        called sto_42_a_body_that_breaks_off_at_any_frame_is_told_and_not_stored
            not_on Actix "over a socket it may break off before its head is sent; the one over sockets runs";
        paused sto_42_those_who_read_along_are_told_that_it_broke_off;
        paused asy_09_events_of_a_stream_come_at_once_and_nobody_queues_behind_it;
        paused asy_09_a_stream_that_says_nothing_of_itself_passes_too;
        paused asy_24_a_client_that_leaves_at_any_frame_leaves_the_whole_body_or_nothing;
        paused asy_24_a_client_that_leaves_a_body_too_large_ends_it;
        called asy_26_trailers_are_kept_and_a_response_with_them_is_not_stored
            not_on Actix "actix writes no trailers";
        called asy_26_those_who_read_along_get_the_trailers
            not_on Actix "actix writes no trailers";
        paused asy_38_a_leader_that_does_not_read_delays_nobody;
        paused asy_38_a_follower_that_does_not_read_delays_nobody;
        paused asy_38_a_body_that_never_ends_is_given_up_after_its_time_and_its_client_is_not;
    }
    deception {
        paused dcp_01_no_suffix_of_a_path_makes_a_page_with_a_cookie_storable;
        paused dcp_01_what_says_itself_that_it_is_shared_is_stored;
        paused dcp_04_a_reflected_origin_without_vary_is_not_stored;
        paused dcp_04_a_reflected_origin_with_vary_is_stored_for_each_origin;
    }
    flights {
        paused asy_01_when_the_leader_leaves_one_of_those_who_wait_takes_its_turn;
        paused asy_01_wherever_the_leader_leaves_two_calls_are_enough;
        paused asy_01_a_follower_that_leaves_changes_nothing;
        paused asy_03_a_panic_of_the_leader_hangs_nobody;
        paused asy_03_where_the_next_panics_too_the_others_are_told_to_come_again;
        paused asy_03_a_body_that_panics_hangs_nobody;
        paused asy_05_a_failure_is_shared_after_one_more_try;
        paused asy_05_a_failure_is_not_shared_where_something_stale_may_answer;
        paused asy_07_who_has_waited_long_enough_goes_on;
        paused asy_07_who_has_waited_long_enough_gets_a_stale_copy_where_there_is_one;
        paused asy_11_nobody_queues_for_what_cannot_be_shared;
        paused asy_11_when_the_mark_is_over_requests_are_collapsed_again;
        called asy_13_a_handler_that_asks_for_its_own_url_does_not_wait_for_itself
            not_on Actix "that it asks itself is not known across a socket";
        called asy_13_nor_for_ever_where_it_asks_from_another_task
            not_on Actix "that it asks itself is not known across a socket";
        paused asy_15_no_flight_is_left_behind_whatever_becomes_of_it;
        paused asy_19_a_stale_key_is_refreshed_once_at_a_time;
        paused asy_19_refreshes_of_many_keys_are_limited;
        paused asy_19_failed_refreshes_back_off;
        paused sto_56_many_who_want_it_fresh_share_one_load;
        paused var_04_users_never_share_a_flight_unless_the_response_is_shared;
        paused var_01_those_who_wait_share_only_what_was_made_for_their_like;
        called_on_threads asy_05_ten_thousand_cold_requests_are_one_call
            not_on Actix "more connections than a process may have; five hundred run";
        threads asy_05_requests_invalidations_and_departures_at_random_never_mix_bodies;
        paused asy_01_a_handler_that_keeps_what_is_in_the_request_does_not_keep_the_turn;
        paused asy_19_one_refresh_is_for_those_with_credentials_and_those_without;
        paused var_01_a_variant_is_loaded_once_whether_or_not_it_was_known_that_there_are_any;
        paused asy_11_what_one_request_brought_about_ends_collapsing_for_a_second_at_most;
        paused asy_19_failures_of_one_who_insists_do_not_stop_the_refreshes_of_others;
    }
    freshness {
        paused sto_11_a_lifetime_that_is_no_number_is_none;
        paused sto_11_a_lifetime_too_great_is_long_and_ends;
        paused sto_12_an_age_that_overflows_counts_as_stale;
        paused sto_12_an_age_from_upstream_counts_and_is_added_to;
        paused sto_15_a_lifetime_of_zero_is_never_served;
        paused sto_15_a_lifetime_ends_to_the_nanosecond;
        real sto_15_a_wall_clock_that_steps_changes_no_lifetime;
        paused sto_16_huge_stale_windows_are_cut_to_the_longest;
        paused sto_16_a_window_that_is_no_number_is_none;
        paused sto_17_where_stale_is_forbidden_the_error_is_told;
        paused sto_26_an_error_does_not_displace_a_good_response;
        paused sto_26_past_the_window_the_error_is_told_and_not_stored;
        paused sto_26_a_body_that_breaks_off_does_not_displace_a_good_response;
        paused sto_56_a_client_that_wants_it_fresh_gets_it_and_the_next_gets_that;
        paused sto_56_a_policy_may_ignore_what_clients_want;
        paused sto_17_what_the_origin_withdraws_is_not_served_stale_any_more;
    }
    http2 {
        http2 sto_51_a_page_is_stored_given_and_validated;
        http2 key_01_the_authority_names_the_host;
        http2 key_01_a_host_field_that_disagrees_with_the_authority_is_passed_on;
        http2 key_08_a_get_with_a_body_that_no_field_announces_neither_takes_nor_leaves_anything;
        http2 sto_29_a_head_has_the_length_of_the_get_and_no_body;
        http2 sto_42_a_stream_that_breaks_off_is_reset_and_not_stored;
        http2 asy_01_when_the_stream_of_a_leader_is_reset_the_others_are_answered;
        http2 asy_05_many_streams_of_one_connection_are_one_call;
        http2 asy_09_events_come_while_the_stream_goes_on;
        http2 asy_24_a_client_that_resets_its_stream_leaves_the_whole_body_or_nothing;
    }
    keys {
        paused key_01_two_hosts_never_share_a_response;
        paused key_01_an_absolute_uri_and_a_host_field_name_the_same;
        paused key_01_several_host_fields_are_passed_on
            not_on Actix "actix itself refuses such a request";
        paused key_04_spellings_of_one_host_share_and_others_do_not;
        paused key_06_forwarding_fields_that_name_a_host_or_scheme_are_not_shared;
        paused key_06_forwarded_counts_by_its_host_and_proto_and_not_by_its_clients;
        called key_08_a_get_with_a_body_neither_takes_nor_leaves_anything
            not_on Actix "HTTP/1.1 announces each body; one that no field announces is tested in cache-actix";
        paused key_09_the_query_counts_to_the_byte;
        paused key_09_a_policy_that_leaves_out_parameters_keeps_the_order_of_duplicates;
        paused key_11_no_value_imitates_the_boundary_of_another;
        paused key_11_an_encoded_question_mark_begins_no_query;
        paused key_13_equal_hashes_never_mean_equal_keys;
        paused key_16_paths_are_not_normalised;
        paused key_18_a_key_over_the_limit_is_passed_on;
        paused key_20_whatever_a_policy_adds_or_leaves_out_hosts_stay_apart;
        paused key_20_a_field_the_policy_names_keeps_tenants_apart;
    }
    layers {
        paused asy_39_a_cold_request_is_one_call_and_one_copy_and_then_a_hit;
        paused asy_39_a_stale_response_is_refreshed_by_one_call_that_reaches_the_handler;
        paused asy_39_a_purge_takes_the_one_copy;
        paused asy_39_different_query_policies_inside_and_outside_agree_on_one_copy;
        paused asy_39_many_at_once_are_one_call_through_both;
        paused asy_39_what_is_not_shared_passes_both_and_delays_nobody;
        paused asy_39_an_error_behind_both_is_answered_by_the_one_stale_copy;
        paused asy_39_the_inner_policy_may_forbid_what_the_outer_allows;
        paused asy_39_an_invalidation_behind_both_is_heeded_by_both;
        paused asy_39_layers_of_different_caches_are_each_their_own;
        paused asy_39_what_only_the_inner_policy_lifts_is_lifted;
        paused asy_39_a_client_that_insists_does_not_end_collapsing;
        paused asy_39_what_goes_past_goes_past_both_and_is_told_once;
        paused asy_39_a_head_is_answered_from_the_one_copy;
        paused asy_39_an_early_refresh_reaches_the_handler;
        paused asy_39_when_the_leader_leaves_another_takes_its_turn_through_both;
        paused asy_39_what_the_inner_layer_stored_under_its_own_key_is_not_the_outers_to_give;
        paused asy_39_who_waits_at_the_outer_layer_does_not_get_what_the_inner_keeps_apart;
        paused asy_39_a_guard_between_two_layers_is_asked_by_everyone;
        paused asy_39_a_field_that_is_rewritten_between_two_layers_selects_as_the_inner_sees_it;
        paused asy_39_two_layers_with_one_permit_between_them_do_not_wait_for_each_other;
        paused asy_39_clients_that_want_only_what_is_stored_do_not_stop_refreshes;
    }
    memory {
        paused key_18_long_urls_stay_within_the_capacity;
        called key_19_a_flood_of_new_urls_neither_outgrows_memory_nor_displaces_what_is_in_use
            not_on Actix "a connection for each of so many requests takes a minute";
        paused asy_22_a_small_slice_of_a_large_buffer_does_not_keep_the_buffer;
    }
    methods {
        paused sto_29_a_head_never_becomes_the_answer_to_a_get;
        paused sto_29_a_head_does_not_wait_for_a_get_nor_a_get_for_a_head;
        paused sto_36_a_post_is_never_looked_up_and_never_stored;
        paused sto_36_of_all_methods_only_get_is_stored;
        paused sto_37_an_unsafe_method_removes_what_is_stored_for_its_uri;
        paused sto_37_all_variants_and_longer_keys_of_the_uri_go;
        paused sto_37_an_invalidation_refuses_the_load_that_began_before_it;
        paused sto_40_unknown_methods_and_spellings_are_passed_on;
        called sto_58_each_reason_to_go_past_the_cache_is_named
            not_on Actix "a socket that asks for another protocol answers no more";
        paused sto_58_only_if_cached_is_answered_from_the_store_or_with_504;
        paused sto_37_an_update_whose_client_leaves_may_have_happened;
    }
    sharing {
        paused sto_01_answers_to_authorization_are_not_shared_unless_they_say_so;
        paused sto_01_public_and_s_maxage_share_them;
        paused sto_01_what_was_stored_for_nobody_is_not_given_to_somebody;
        paused sto_03_a_response_that_sets_a_cookie_is_never_stored;
        paused sto_04_fields_about_one_client_keep_a_response_from_being_stored;
        paused sto_05_a_lifetime_the_policy_supplies_is_not_for_requests_with_cookies;
        paused sto_06_directives_count_in_any_case;
        paused sto_07_the_strictest_of_all_lines_holds;
        paused sto_08_the_fields_that_qualified_directives_name_are_given_to_nobody_else;
        paused sto_08_a_directive_within_quotes_is_none_and_what_does_not_parse_is_not_stored;
        paused sto_18_a_method_override_poisons_nothing;
        paused sto_18_errors_are_stored_only_where_they_say_so_themselves;
        paused sto_19_statuses_that_one_request_caused_are_never_stored;
        paused sto_19_an_oversize_field_of_one_spoils_the_page_of_none;
        paused sto_21_a_refusal_to_one_is_not_given_to_another;
        paused sto_24_a_limiter_within_the_layer_throttles_only_whom_it_means;
        paused sto_24_what_is_left_of_one_clients_quota_is_not_told_another;
        paused sto_25_an_upgrade_is_not_looked_up_and_426_is_not_stored;
        paused sto_31_a_part_is_never_given_for_the_whole;
        paused sto_35_a_private_body_is_in_no_store_whoever_asks_for_a_part;
        paused sto_49_extensions_of_a_response_are_not_given_to_another_client
            not_on Actix "its extensions are of another kind, of which the cache takes what it knows";
        called sto_53_a_bomb_of_fields_is_passed_on_and_not_stored
            not_on Actix "a client refuses so many fields";
        called sto_55_an_interim_status_is_never_stored
            not_on Actix "a server does not send one for a response";
        paused sto_63_nothing_private_is_left_to_be_found_by_probing;
        paused sto_63_per_credential_isolates_users_from_each_other;
        paused sto_63_a_declared_indifference_to_credentials_shares;
        paused sto_63_a_handlers_own_policy_does_not_change_who_shares;
        paused sto_63_a_handlers_own_lifetime_keeps_apart_whom_the_layer_keeps_apart;
        paused sto_63_users_kept_apart_share_nothing_where_a_page_varies_by_their_cookies;
        paused sto_49_a_handlers_policy_and_groups_never_leave_the_cache;
    }
    sockets {
        real key_01_hosts_are_apart_however_the_request_names_them;
        real key_08_a_get_with_a_body_passes_in_both_framings;
        real key_21_nested_routers_do_not_collide
            not_on Tower "it has no routers";
        real sto_19_an_oversize_field_spoils_nothing;
        real sto_29_a_head_has_the_length_of_the_get_and_no_body;
        real sto_40_odd_methods_pass_and_are_taken_to_be_unsafe;
        real sto_41_a_short_body_closes_the_connection_and_is_not_stored;
        real sto_42_a_body_that_breaks_off_is_cut_and_not_stored;
        real sto_58_a_body_that_a_hit_does_not_read_is_no_request;
        real sto_58_requests_that_can_be_read_two_ways_get_nothing_stored_and_smuggle_nothing;
        threads asy_05_five_hundred_connections_are_one_call;
        real asy_09_events_come_while_the_stream_goes_on;
        real asy_24_a_client_that_hangs_up_leaves_the_whole_body_or_nothing;
        real asy_28_a_websocket_works_through_layers_and_nothing_of_it_is_stored
            not_on Tower "it has no websockets";
        threads asy_38_a_client_that_stops_reading_delays_nobody;
        real asy_39_layers_at_two_levels_answer_a_cold_request_and_a_hit;
        real sto_41_a_body_shorter_than_declared_breaks_off_and_its_server_goes_on;
    }
    status {
        paused sto_44_bytes_of_fields_are_kept_exactly;
        paused sto_45_repeated_fields_keep_their_order_and_number;
        paused sto_45_fields_of_one_connection_are_not_kept;
        called sto_61_what_is_told_of_a_decision_names_no_key_no_host_and_no_error
            not_on Actix "over a socket a body may break off before its head is sent";
        paused sto_61_flights_that_are_shared_are_told_as_such_and_no_more;
        paused sto_62_what_a_client_says_of_caches_changes_nothing;
        paused sto_62_ours_comes_after_what_the_handler_says;
    }
    vary {
        paused var_01_a_language_is_never_given_to_who_asked_for_another;
        paused var_01_all_lines_of_vary_select;
        paused var_01_a_vary_that_changes_never_gives_one_the_others_response;
        paused var_02_a_star_is_never_stored;
        paused var_04_pages_that_vary_by_credentials_stay_with_their_users;
        paused var_04_a_policy_may_keep_them_for_each_user;
        paused var_05_variants_of_one_url_are_capped_and_the_ones_in_use_stay;
        paused var_07_absent_differs_from_empty_and_joined_equals_repeated;
        paused var_08_malformed_accept_encodings_are_one_class_at_most;
        paused var_01_one_variant_expires_without_the_others;
        paused var_05_huge_values_that_select_do_not_displace_the_variants_there_are;
        paused var_05_an_origin_that_varies_by_whatever_it_is_told_does_not_fill_the_cache;
    }
    updates {
        paused sto_29_a_head_that_tells_of_the_same_page_renews_it;
        paused sto_29_a_head_that_tells_of_another_page_makes_what_is_stored_stale;
        paused sto_29_a_head_of_a_fresh_page_may_still_find_it_changed;
        paused sto_29_a_head_by_its_length_alone_tells_of_another_page;
        paused sto_29_an_error_to_a_head_says_nothing_of_the_page;
        paused sto_29_whatever_a_head_says_a_get_has_its_own_body_and_framing;
        paused sto_29_a_head_that_withdraws_ends_what_is_stored;
        paused sto_29_a_head_of_one_user_tells_others_nothing;
        paused sto_29_a_head_renews_the_variant_it_is_about_alone;
        paused sto_29_a_head_that_was_overtaken_by_a_purge_renews_nothing;
        paused sto_36_in_the_guarded_profile_no_post_is_stored_whatever_it_says;
        paused sto_36_in_the_standard_profile_a_post_is_stored_where_it_is_what_a_get_would_get;
        paused sto_36_a_post_is_never_answered_from_the_store_in_any_profile;
        paused sto_36_posts_at_once_are_each_carried_out;
        paused sto_36_what_a_post_stored_is_removed_and_replaced_like_any_other;
        paused sto_37_an_update_removes_what_its_location_and_content_location_name;
        paused sto_37_both_fields_count_and_all_their_lines;
        paused sto_37_nobody_empties_the_cache_of_another_origin;
        paused sto_37_neither_an_error_nor_a_safe_method_removes_what_it_names;
        paused sto_37_an_update_removes_the_groups_it_names_of_its_own_origin;
        paused sto_37_what_goes_with_its_group_takes_no_other_group_with_it;
        paused sto_37_groups_of_the_field_and_of_the_handler_are_two_things;
        paused sto_37_a_shared_host_may_have_both_fields_ignored;
        paused sto_37_a_group_that_is_invalidated_refuses_the_loads_that_began_before;
        paused sto_37_all_variants_and_parts_go_with_a_location_and_with_a_group;
    }
    validation {
        paused sto_37_who_takes_the_turn_after_a_purge_does_not_ask_about_what_was_purged;
        paused asy_19_a_refresh_of_what_has_no_validator_asks_by_no_clients_condition_either;
        paused sto_51_a_client_that_did_not_ask_gets_the_whole_when_the_origin_says_304;
        paused sto_51_every_validator_there_is_is_asked_by_as_it_came;
        paused sto_51_a_304_renews_the_fields_and_leaves_what_frames_the_body;
        paused sto_51_a_304_that_nobody_asked_for_is_no_answer_where_something_is_stored;
        paused sto_51_a_304_that_nobody_asked_for_is_none_in_any_shape;
        paused sto_51_a_304_where_nothing_is_stored_is_kept_for_nobody;
        paused sto_51_a_304_about_another_version_renews_nothing;
        paused sto_51_the_clients_own_condition_is_judged_by_what_was_validated;
        paused sto_51_a_304_to_one_clients_condition_is_given_to_nobody_else;
        paused sto_51_one_validation_answers_each_in_the_shape_it_asked_for;
        paused sto_52_if_none_match_is_compared_weakly_and_exactly;
        paused sto_52_if_none_match_takes_the_place_of_if_modified_since;
        paused sto_52_a_304_says_what_the_200_would_have_and_nothing_of_the_body;
        called sto_52_a_thousand_tags_and_a_million_are_read_once
            not_on Actix "actix refuses a head so large";
        paused sto_52_a_thousand_tags_are_not_passed_on_when_the_cache_asks;
        paused sto_56_of_many_clients_that_insist_one_at_a_time_has_it_validated;
        paused sto_56_of_many_clients_that_insist_all_get_the_new_version;
        paused sto_56_who_does_not_insist_gets_what_is_fresh_while_others_have_it_validated;
        paused sto_56_a_stale_page_is_validated_once_for_all_who_ask_at_once;
        paused sto_56_what_must_be_validated_each_time_is_validated_for_each_and_sent_once;
        paused sto_26_a_failed_validation_leaves_what_is_stored;
        paused sto_26_past_every_window_a_failed_validation_is_told_and_the_next_is_one_again;
        called sto_26_a_new_version_that_breaks_off_does_not_displace_the_old
            not_on Actix "a body that breaks off takes along what of its head is not sent yet";
        paused sto_17_where_stale_is_forbidden_a_failed_validation_is_told;
        paused sto_17_a_304_that_withdraws_is_the_last_of_what_is_stored;
        paused sto_51_what_a_304_confirmed_for_one_is_given_in_the_shape_that_was_asked_for;
        paused sto_03_a_cookie_that_a_304_sets_is_set_for_one;
        paused sto_17_a_client_may_take_it_stale_and_no_staler_than_it_says;
        real sto_15_a_heuristic_lifetime_is_a_tenth_and_then_it_is_validated;
        paused sto_37_a_304_that_names_no_groups_takes_nothing_out_of_them;
        paused sto_37_a_304_may_add_a_group_and_change_those_of_the_field;
        paused sto_37_what_was_purged_while_it_was_validated_is_not_put_back;
        paused sto_37_what_was_purged_while_it_was_refreshed_is_not_put_back;
        paused asy_19_a_refresh_asks_for_all_of_it_and_by_no_clients_condition;
        paused asy_19_a_head_that_finds_it_stale_has_all_of_it_refreshed;
        paused asy_01_when_a_client_leaves_during_a_validation_another_takes_its_turn;
        paused asy_01_a_client_that_leaves_a_validation_alone_loses_nothing_of_what_is_stored;
        paused asy_03_a_panic_during_a_validation_hangs_nobody;
        paused asy_03_a_panic_during_a_refresh_leaves_the_next_one_its_turn;
        paused asy_05_a_failed_validation_is_shared_after_one_more_try;
        paused asy_07_who_waits_too_long_for_a_validation_goes_on;
        paused sto_12_an_age_that_comes_with_a_304_counts;
        paused sto_15_a_304_may_end_or_shorten_the_lifetime;
        paused sto_52_a_precondition_that_is_the_origins_to_judge_reaches_it_as_it_came;
        paused sto_58_what_is_stale_is_asked_about_for_nobody_who_wants_only_what_is_stored;
        paused sto_56_what_is_made_for_no_store_is_validated_and_kept_for_nobody;
    }
    variants {
        paused var_01_the_tags_of_the_variants_are_offered_and_a_304_selects_one_of_them;
        paused var_01_a_guarded_layer_asks_for_another_variant_without_a_question_of_its_own;
        paused var_01_a_304_that_selects_renews_the_one_it_names_alone;
        paused var_01_a_304_that_names_none_of_several_selects_none;
        paused var_01_a_new_variant_comes_in_full_and_is_one_more;
        paused var_05_no_more_tags_are_offered_than_an_origin_reads;
        paused var_01_what_is_no_tag_is_not_offered_among_others;
        paused var_04_no_users_tags_are_offered_for_another;
        paused var_01_who_waits_for_a_selection_gets_what_was_selected_for_their_own_fields;
        paused var_01_a_client_with_the_tag_of_another_variant_is_not_told_that_it_has_its_own;
        paused var_01_a_renewal_that_varies_by_more_is_given_to_nobody_else;
        paused sto_47_a_layer_that_compresses_within_the_cache_is_stored_as_what_it_made
            not_on Actix "it is about what tower-http compresses; actix has tests of its own in cache-actix";
        paused sto_47_who_takes_no_coding_gets_none_also_once_it_is_validated
            not_on Actix "it is about what tower-http compresses; actix has tests of its own in cache-actix";
        paused sto_47_parts_of_a_coded_page_are_parts_of_what_is_coded
            not_on Actix "it is about what tower-http compresses; actix has tests of its own in cache-actix";
        paused sto_47_parts_that_came_uncoded_are_not_joined_with_what_is_coded;
        paused sto_47_a_head_tells_of_the_coding_that_a_get_gets
            not_on Actix "it is about what tower-http compresses; actix has tests of its own in cache-actix";
        paused sto_47_a_layer_that_compresses_around_the_cache_leaves_one_stored_page
            not_on Actix "it is about what tower-http compresses; actix has tests of its own in cache-actix";
    }
    levels {
        paused asy_39_parts_of_two_layers_are_not_joined_even_under_one_tag;
        paused asy_39_a_304_to_the_outer_layers_question_is_no_answer_to_its_client;
        paused asy_39_the_inner_layers_own_copy_answers_the_outer_ones_question_in_full;
        paused asy_39_what_the_outer_layer_asks_about_may_have_changed;
        paused asy_39_a_304_to_no_question_of_the_clients_never_reaches_it;
        paused asy_39_a_variant_that_the_inner_layer_chose_is_not_asked_for_again_and_again;
        paused asy_39_what_the_outer_layer_lacks_of_a_page_is_no_answer_to_who_wants_it_all;
        paused asy_39_a_416_to_the_outer_layers_question_is_no_answer_either;
        paused asy_39_a_purge_while_the_inner_layer_is_asked_is_heeded;
        paused asy_39_through_both_a_stale_page_is_validated_and_given_in_full;
        paused asy_39_through_both_each_client_gets_the_shape_it_asked_for;
        paused asy_39_through_both_parts_become_one_whole;
        paused asy_39_through_both_clients_that_insist_have_it_validated_once;
        paused asy_39_through_both_a_refresh_validates_and_a_head_renews;
        paused asy_39_a_panic_or_a_leaving_client_during_a_validation_through_both_hangs_nobody;
    }
    directives {
        paused sto_08_a_named_field_is_in_no_shape_of_what_comes_from_the_store;
        paused sto_08_a_named_field_that_comes_with_a_304_is_for_nobody_else;
        paused sto_08_a_304_may_name_a_field_that_was_stored_before;
        paused sto_08_without_what_governs_it_the_rest_is_not_stored;
        paused sto_08_to_withhold_what_selects_or_validates_does_not_change_what_is_shared;
        paused sto_08_without_a_name_no_cache_is_validated_each_time_and_private_is_not_stored;
        paused sto_54_a_field_for_other_caches_changes_nothing_and_is_passed_on;
        paused sto_54_a_field_that_is_heeded_takes_the_place_of_cache_control_and_expires;
        paused sto_54_a_field_that_is_heeded_may_forbid_what_cache_control_allows;
        called sto_54_a_field_that_does_not_parse_is_as_if_it_were_not_there
            not_on Actix "HTTP/1.1 drops blanks around a value";
        paused sto_54_directives_of_the_wrong_type_are_not_taken_for_others;
        paused sto_54_the_first_of_the_list_that_is_valid_decides;
        paused sto_54_what_was_consumed_is_in_no_shape_of_an_answer;
        paused sto_54_a_304_may_withdraw_by_the_field_that_is_heeded_and_does_not_leak_it;
        paused sto_54_a_304_that_does_not_repeat_the_field_leaves_it_in_force;
        paused sto_54_a_field_that_is_heeded_lifts_no_other_rule;
    }
    guarded {
        paused dcp_01_no_lifetime_of_any_origin_makes_a_page_with_a_cookie_storable;
        paused dcp_01_a_part_of_a_page_with_a_cookie_is_not_stored_nor_completed;
        paused dcp_01_a_user_neither_has_the_shared_page_validated_nor_renews_it;
        paused dcp_01_a_users_condition_is_not_answered_by_what_is_anothers;
        paused dcp_01_the_standard_profile_minds_authorization_and_not_cookies;
        paused dcp_04_a_304_that_reflects_an_origin_allows_it_for_nobody_else;
        paused dcp_04_neither_a_part_nor_a_head_that_reflects_an_origin_is_kept;
        paused dcp_04_with_vary_each_origin_has_its_own_also_when_it_is_validated;
        paused sto_04_a_304_that_is_about_one_client_is_kept_for_nobody;
        paused sto_07_what_does_not_parse_is_not_stored_on_any_way;
    }
    ranges {
        paused sto_32_each_form_of_a_range_gets_exactly_what_it_asks_for;
        paused sto_32_several_ranges_are_several_parts;
        paused sto_32_a_boundary_is_new_each_time_and_in_no_body;
        paused sto_32_no_set_of_ranges_costs_more_than_the_whole_and_a_little;
        paused sto_32_an_origin_that_refuses_ranges_is_heeded;
        paused sto_32_a_range_is_for_a_get_of_something_that_is_there;
        paused sto_32_if_range_gives_the_part_of_that_version_or_the_whole;
        paused sto_32_a_condition_comes_before_a_range;
        paused sto_33_parts_of_one_version_become_the_whole;
        paused sto_33_a_part_of_a_new_version_replaces_those_of_the_old;
        paused sto_33_what_no_strong_validator_proves_to_be_one_version_is_never_joined;
        paused sto_33_parts_that_disagree_on_the_length_are_not_of_one_version;
        paused sto_33_parts_of_two_variants_are_not_joined_even_under_one_tag;
        paused sto_33_whatever_comes_for_the_missing_part_nothing_is_mixed;
        paused sto_33_a_new_version_that_comes_in_full_is_the_answer;
        paused sto_33_an_error_in_place_of_the_missing_part_is_told_and_costs_nothing;
        paused sto_35_every_part_passes_the_one_gate;
        paused sto_35_what_completes_a_part_may_forbid_to_keep_it;
        paused sto_35_a_part_that_nobody_asked_for_is_passed_on_and_not_stored;
        called sto_35_a_part_of_another_length_than_it_says_is_not_stored
            not_on Actix "a server says what length the body has";
        paused sto_32_a_part_answers_nothing_that_asks_for_more;
        paused sto_32_a_part_does_not_answer_a_condition_on_the_whole;
        paused sto_32_a_range_of_something_stale_is_given_once_that_is_validated;
        paused sto_33_a_stale_part_is_validated_before_it_is_used;
        called sto_42_a_missing_part_that_breaks_off_or_goes_on_is_told_and_not_stored
            not_on Actix "over a socket it may break off before its head is sent";
        paused asy_24_who_leaves_while_a_part_is_completed_leaves_the_whole_or_the_part;
        paused asy_05_many_who_want_the_whole_complete_a_part_by_one_call;
        paused asy_05_when_completing_fails_those_who_wait_are_told_or_take_their_turn;
        paused asy_05_ranges_asked_for_at_once_do_not_answer_each_other;
        paused sto_32_a_whole_too_large_to_keep_is_given_though_a_part_is_kept;
        paused sto_32_a_purge_takes_the_parts_and_a_part_on_its_way_is_not_put_back;
        paused sto_32_several_parts_of_the_origins_own_making_are_passed_on_and_not_stored;
        paused sto_32_a_page_asked_for_in_hundreds_of_pieces_is_one_entry_of_its_size;
        paused sto_29_a_head_tells_of_a_stored_part_too;
        paused sto_33_a_part_that_must_be_validated_is_validated_each_time;
        paused asy_19_a_stale_part_is_refreshed_in_the_background_to_one_version;
    }
    shared_tier {
        paused lck_01_what_one_instance_stored_is_a_hit_of_the_other;
        paused lck_01_what_one_instance_stored_the_other_gives_in_every_shape;
        paused asy_05_many_at_both_instances_are_one_call;
        paused asy_05_a_failure_is_shared_by_both_instances_after_one_more_try;
        paused asy_01_when_a_leader_leaves_the_other_instance_takes_its_turn;
        paused sto_37_an_update_at_one_instance_is_seen_at_the_other;
        paused sto_37_a_load_that_an_update_elsewhere_overtook_is_stored_nowhere;
        paused adm_05_groups_uris_and_all_are_purged_in_both_instances;
        paused var_01_variants_of_one_instance_are_found_by_the_other;
        paused sto_01_what_is_one_clients_is_in_no_remote_tier;
        paused rds_01_without_the_remote_tier_each_instance_is_by_itself;
        paused asy_19_one_of_two_instances_refreshes;
    }
}
