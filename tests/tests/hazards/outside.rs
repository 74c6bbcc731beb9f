//! What the table does not name: whether anything is missing from it, and why the rest stands outside.

use std::{collections::BTreeSet, fs, path::Path};

/// Why a test is not in the table.
enum Why {
    /// It is about this framework's own routes. The test of actix's own is this one, in cache-actix.
    OfAxum { actix: &'static str },
    /// It is about no framework.
    Apart(&'static str),
}

use Why::{Apart, OfAxum};

const NO_RUNTIME: &str = "actix's services need their runtime from the beginning";

/// The tests that do not run on each framework, by their file.
const OUTSIDE: [(&str, &str, Why); 24] = [
    (
        "flights",
        "asy_17_a_runtime_that_ends_takes_its_refreshes_with_it",
        OfAxum {
            actix: "a_worker_that_ends_takes_its_refreshes_with_it",
        },
    ),
    (
        "flights",
        "asy_18_without_a_runtime_it_is_made_asked_and_dropped",
        Apart(NO_RUNTIME),
    ),
    (
        "flights",
        "asy_18_without_a_runtime_a_body_in_pieces_passes",
        Apart(NO_RUNTIME),
    ),
    (
        "http2",
        "actixs_server_speaks_the_version_that_its_client_does_and_both_share_what_is_stored",
        Apart(
            "it is about the server of actix-web, in whose place the harness accepts connections",
        ),
    ),
    (
        "memory",
        "streams_in_a_process_of_its_own",
        Apart("it is a part of the next"),
    ),
    (
        "memory",
        "asy_22_a_body_larger_than_what_is_kept_is_never_held_as_a_whole",
        Apart("it measures the memory of a process, which the engine takes"),
    ),
    (
        "secrets",
        "sec_01_sec_10_nothing_that_anybody_said_is_logged_traced_measured_or_shown",
        Apart("it is about what the engine tells, the same to all"),
    ),
    (
        "routes",
        "key_21_nested_routers_with_equal_paths_do_not_collide",
        OfAxum {
            actix: "scopes_with_the_same_paths_within_are_told_apart",
        },
    ),
    (
        "routes",
        "key_21_nested_services_and_fallbacks_do_not_collide",
        OfAxum {
            actix: "scopes_with_the_same_paths_within_are_told_apart",
        },
    ),
    (
        "routes",
        "adm_05_a_group_is_named_by_the_parameters_of_its_route",
        OfAxum {
            actix: "groups_name_the_parameters_of_the_resource_wherever_the_layer_lies",
        },
    ),
    (
        "routes",
        "adm_05_where_the_route_has_no_such_parameter_nothing_is_stored",
        OfAxum {
            actix: "where_the_resource_has_no_such_parameter_nothing_is_stored",
        },
    ),
    (
        "routes",
        "adm_05_a_handler_names_the_groups_of_one_response",
        OfAxum {
            actix: "a_handler_names_groups_and_sets_the_policy_of_its_response",
        },
    ),
    (
        "routes",
        "sto_37_a_handler_purges_a_path_of_its_host",
        OfAxum {
            actix: "handlers_purge_by_path_uri_group_and_all",
        },
    ),
    (
        "routes",
        "adm_01_purge_without_a_layer_answers_500_and_says_what_is_missing",
        OfAxum {
            actix: "without_a_layer_the_request_is_rejected_with_what_to_do",
        },
    ),
    (
        "routes",
        "sto_37_a_put_invalidates_the_get_of_its_route_and_its_variants",
        OfAxum {
            actix: "a_resource_answers_out_of_the_store_and_its_put_invalidates",
        },
    ),
    (
        "routes",
        "key_20_policies_of_routes_share_one_cache_and_keep_to_their_routes",
        OfAxum {
            actix: "policies_of_resources_share_one_cache_and_keep_to_their_resources",
        },
    ),
    (
        "routes",
        "sto_05_a_handler_sets_the_policy_of_one_response",
        OfAxum {
            actix: "a_handler_names_groups_and_sets_the_policy_of_its_response",
        },
    ),
    (
        "routes",
        "sto_24_a_limiter_around_the_layer_is_not_cached_by_it",
        OfAxum {
            actix: "a_limiter_around_the_layer_is_not_cached_by_it",
        },
    ),
    (
        "routes",
        "asy_40_a_hit_is_given_while_the_service_behind_is_saturated",
        OfAxum {
            actix: "a_hit_needs_nothing_of_a_service_that_is_not_ready",
        },
    ),
    (
        "routes",
        "asy_30_services_that_must_be_ready_are_made_so_where_they_are_called",
        OfAxum {
            actix: "a_hit_needs_nothing_of_a_service_that_is_not_ready",
        },
    ),
    (
        "routes",
        "asy_30_what_is_shed_is_an_answer_of_its_own_client_only",
        OfAxum {
            actix: "an_error_of_the_service_goes_on_as_it_is",
        },
    ),
    (
        "routes",
        "asy_32_a_timeout_around_the_layer_costs_one_more_load_at_most",
        OfAxum {
            actix: "a_timeout_around_the_layer_costs_one_more_load_at_most",
        },
    ),
    (
        "routes",
        "sto_37_methods_outside_the_layer_of_their_route_invalidate_by_the_layer_around",
        OfAxum {
            actix: "methods_outside_the_layer_of_their_path_invalidate_by_the_layer_around",
        },
    ),
    (
        "routes",
        "asy_39_three_layers_are_as_one",
        OfAxum {
            actix: "three_layers_are_as_one",
        },
    ),
];

/// A function without arguments, as all tests are.
struct Function {
    file: String,
    name: String,
    /// It has an attribute that makes it a test; else it is a scenario if other files may call it.
    is_test: bool,
    is_shared: bool,
}

/// Those of the files of a folder, not of the folders within.
fn functions(folder: &Path) -> Vec<Function> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let of_file = |path: std::path::PathBuf| {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        declared(&file, &source)
    };
    files
        .filter(|path| path.is_file())
        .flat_map(of_file)
        .collect()
}

fn declared(file: &str, source: &str) -> Vec<Function> {
    let mut is_test = false;
    let mut found = Vec::new();
    for line in source.lines() {
        let is_attribute = line.starts_with("#[");
        is_test |= is_attribute && line.contains("test");
        if let Some((name, is_shared)) = name(line) {
            found.push(Function {
                file: file.to_owned(),
                name: name.to_owned(),
                is_test,
                is_shared,
            });
        }
        is_test &= is_attribute;
    }
    found
}

/// Of what a line declares, where that is a function without arguments.
fn name(line: &str) -> Option<(&str, bool)> {
    let (line, is_shared) = match line.strip_prefix("pub(crate) ") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, rest) = line.strip_prefix("fn ")?.split_once('(')?;
    rest.starts_with(')').then_some((name, is_shared))
}

fn hazards() -> Vec<Function> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hazards");
    let all = functions(&folder).into_iter();
    all.filter(|function| !["outside", "main"].contains(&&*function.file))
        .collect()
}

#[test]
fn each_scenario_stands_in_the_table_under_its_file() {
    let table = include_str!("table.rs");
    let mut file = "";
    let mut named = BTreeSet::new();
    for line in table.lines() {
        let mut words = line
            .split_whitespace()
            .map(|word| word.trim_end_matches(';'));
        match (
            line.len() - line.trim_start().len(),
            words.next(),
            words.next(),
        ) {
            (4, Some(name), Some("{")) => file = name,
            (8, Some(_), Some(name)) => {
                named.insert(format!("{file}::{name}"));
            }
            _ => {}
        }
    }
    let scenarios = hazards().into_iter().filter(|f| f.is_shared && !f.is_test);
    let scenarios: Vec<_> = scenarios
        .map(|f| format!("{}::{}", f.file, f.name))
        .collect();
    assert!(scenarios.len() > 300, "they are found: {}", scenarios.len());
    for scenario in scenarios {
        assert!(named.contains(&scenario), "{scenario} is not in the table");
    }
}

#[test]
fn each_test_outside_of_the_table_is_named_with_the_reason() {
    let tests = hazards().into_iter().filter(|function| function.is_test);
    let tests: BTreeSet<_> = tests.map(|test| (test.file, test.name)).collect();
    let named = OUTSIDE.map(|(file, name, _)| (file.to_owned(), name.to_owned()));
    assert_eq!(tests, BTreeSet::from(named));
}

#[test]
fn what_is_axums_own_has_a_test_of_actixs_own() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cache-actix/tests/it");
    let tests = functions(&folder)
        .into_iter()
        .filter(|function| function.is_test);
    let tests: BTreeSet<_> = tests.map(|test| test.name).collect();
    for (_, name, why) in &OUTSIDE {
        match why {
            OfAxum { actix } => assert!(tests.contains(*actix), "{name}: there is no {actix}"),
            Apart(reason) => assert!(!reason.is_empty(), "{name}"),
        }
    }
}
