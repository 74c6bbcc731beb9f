//! The files that it is deployed with name what there is.

use cache_axum::{
    Config,
    typed::observe::{Kind, METRICS, Metric},
};
use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../production/grafana/dashboards/cache.json");
const COMPOSE: &str = include_str!("../../production/docker-compose.yml");

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let shown: BTreeSet<&str> = metric_names(DASHBOARD).map(name_in_table).collect();
    let known = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, known);
}

/// The table's name for what is shown, or that itself.
fn name_in_table(shown: &str) -> &str {
    let is_of = |metric: &&Metric| {
        let rest = shown.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram => matches!(rest, Some("_bucket" | "_sum" | "_count")),
            Kind::Counter | Kind::Gauge => rest == Some(""),
        }
    };
    METRICS
        .iter()
        .find(is_of)
        .map_or(shown, |metric| metric.name)
}

fn metric_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("cache_"))
}

#[test]
fn the_panels_of_the_dashboard_have_labels_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let asked = target["expr"].as_str().unwrap();
            let of_names: Vec<&Metric> = metric_names(asked)
                .map(|shown| {
                    METRICS
                        .iter()
                        .find(|it| it.name == name_in_table(shown))
                        .unwrap()
                })
                .collect();
            for label in grouped_by(asked) {
                // `le` is of buckets; `outcome` the dashboard itself gives to what it puts together.
                let is_given = label == "le" || asked.contains(&format!("\"{label}\""));
                let is_had = of_names.iter().all(|metric| metric.labels.contains(&label));
                assert!(is_given || is_had, "{title}: {label}");
            }
        }
    }
}

/// The labels of each `by (…)`.
fn grouped_by(asked: &str) -> impl Iterator<Item = &str> {
    let lists = asked.split("by (").skip(1);
    let lists = lists.filter_map(|rest| rest.split_once(')'));
    lists.flat_map(|(list, _)| list.split(',').map(str::trim))
}

#[test]
fn the_settings_of_the_fleet_are_accepted() {
    let vars: Vec<(&str, &str)> = COMPOSE
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("CACHE_"))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    assert!(vars.iter().any(|(name, _)| *name == "CACHE_URL"));
    let config = Config::from_vars(vars).unwrap();
    let warnings = config.warnings();
    // Which classes there are, only the service knows.
    assert!(
        warnings.iter().all(|warning| warning.code() == "W005"),
        "{warnings:?}"
    );
}
