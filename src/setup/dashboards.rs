//! The saved objects: a data view, charts, the latest lines, and a dashboard of them.
//!
//! They are written as Kibana 7.10 did, which Kibana (7.10 and later) and all OpenSearch Dashboards take over into their
//! own form when they import them. Their IDs follow from the pattern, so that a second import replaces the first.

use serde_json::{Value, json};

/// One saved object for each line of the import.
pub(crate) fn objects(pattern: &str) -> Vec<Value> {
    let set = Set { pattern, view: format!("forebay-{}", slug(pattern)) };
    let charts = [
        set.chart("over-time", "over time", &bars()),
        set.chart("by-level", "by level", &pie("log.level")),
        set.chart("by-severity", "by severity of syslog", &pie("log.syslog.severity.name")),
        set.chart("by-service", "by service", &table("service.name")),
        set.chart("by-host", "by host", &table("host.name")),
    ];
    let view = json!({
        "type": "index-pattern", "id": set.view, "migrationVersion": {"index-pattern": "7.6.0"}, "references": [],
        "attributes": {"title": pattern, "timeFieldName": "@timestamp"}
    });
    let search = set.search();
    let dashboard = set.dashboard(&charts, &search);
    [view].into_iter().chain(charts).chain([search, dashboard]).collect()
}

/// The ID of the dashboard.
pub(crate) fn dashboard_id(pattern: &str) -> String {
    format!("forebay-{}-dashboard", slug(pattern))
}

/// A pattern as part of an ID; different patterns stay different.
fn slug(pattern: &str) -> String {
    let part = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' | '.' => c.to_string(),
        '*' => "all".into(),
        other => format!("_{:x}", u32::from(other)),
    };
    pattern.chars().map(part).collect()
}

struct Set<'a> {
    pattern: &'a str,
    view: String,
}

/// What each object searches: all of the data view.
fn source(more: &Value) -> Value {
    let mut source = json!({
        "query": {"query": "", "language": "kuery"}, "filter": [],
        "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index"
    });
    if let (Some(own), Some(more)) = (source.as_object_mut(), more.as_object()) {
        own.extend(more.clone());
    }
    json!({"searchSourceJSON": source.to_string()})
}

impl Set<'_> {
    fn title(&self, what: &str) -> String {
        format!("Logs {what} ({})", self.pattern)
    }

    fn references(&self) -> Value {
        json!([{"name": "kibanaSavedObjectMeta.searchSourceJSON.index", "type": "index-pattern", "id": self.view}])
    }

    fn chart(&self, id: &str, what: &str, form: &Value) -> Value {
        let mut state = form.clone();
        state["title"] = self.title(what).into();
        json!({
            "type": "visualization", "id": format!("{}-{id}", self.view), "migrationVersion": {"visualization": "7.10.0"},
            "references": self.references(),
            "attributes": {
                "title": self.title(what), "description": "", "version": 1, "uiStateJSON": "{}",
                "visState": state.to_string(), "kibanaSavedObjectMeta": source(&json!({}))
            }
        })
    }

    fn search(&self) -> Value {
        json!({
            "type": "search", "id": format!("{}-latest", self.view), "migrationVersion": {"search": "7.9.3"},
            "references": self.references(),
            "attributes": {
                "title": self.title("newest first"), "description": "", "version": 1, "hits": 0,
                "columns": ["host.name", "service.name", "message"], "sort": [["@timestamp", "desc"]],
                "kibanaSavedObjectMeta": source(&json!({"highlightAll": true, "version": true}))
            }
        })
    }

    fn dashboard(&self, charts: &[Value], search: &Value) -> Value {
        // x, y, width, height on a grid of 48 columns.
        let places = [(0, 0, 48, 10), (0, 10, 12, 13), (12, 10, 12, 13), (24, 10, 12, 13), (36, 10, 12, 13), (0, 23, 48, 22)];
        let (mut panels, mut references) = (Vec::new(), Vec::new());
        for (n, (object, (x, y, w, h))) in charts.iter().chain([search]).zip(places).enumerate() {
            let (i, name) = ((n + 1).to_string(), format!("panel_{n}"));
            panels.push(json!({
                "version": "7.10.0", "gridData": {"x": x, "y": y, "w": w, "h": h, "i": i}, "panelIndex": i,
                "embeddableConfig": {}, "panelRefName": name
            }));
            references.push(json!({"name": name, "type": object["type"], "id": object["id"]}));
        }
        json!({
            "type": "dashboard", "id": dashboard_id(self.pattern), "migrationVersion": {"dashboard": "7.9.3"}, "references": references,
            "attributes": {
                "title": format!("Logs of Forebay ({})", self.pattern), "hits": 0, "version": 1,
                "description": "Made by `forebay setup kibana`; another run replaces it, so copy it before you change it.",
                "panelsJSON": json!(panels).to_string(),
                "optionsJSON": json!({"useMargins": true, "hidePanelTitles": false}).to_string(),
                "timeRestore": true, "timeFrom": "now-1h", "timeTo": "now", "refreshInterval": {"pause": true, "value": 0},
                "kibanaSavedObjectMeta": {"searchSourceJSON": json!({"query": {"query": "", "language": "kuery"}, "filter": []}).to_string()}
            }
        })
    }
}

fn count() -> Value {
    json!({"id": "1", "enabled": true, "type": "count", "schema": "metric", "params": {}})
}

/// The most frequent values of a field.
fn terms(field: &str, schema: &str, size: u32) -> Value {
    json!({
        "id": "2", "enabled": true, "type": "terms", "schema": schema,
        "params": {
            "field": field, "orderBy": "1", "order": "desc", "size": size, "otherBucket": true, "otherBucketLabel": "Other",
            "missingBucket": false, "missingBucketLabel": "Missing"
        }
    })
}

fn bars() -> Value {
    let axis = |id: &str, kind: &str, position: &str, scale: Value| {
        json!({
            "id": id, "type": kind, "position": position, "show": true, "style": {}, "scale": scale,
            "labels": {"show": true, "filter": true, "truncate": 100}, "title": {}
        })
    };
    let mut values = axis("ValueAxis-1", "value", "left", json!({"type": "linear", "mode": "normal"}));
    values["name"] = "LeftAxis-1".into();
    values["title"] = json!({"text": "Lines"});
    json!({
        "type": "histogram",
        "params": {
            "type": "histogram", "addTooltip": true, "addLegend": false, "legendPosition": "right", "times": [], "addTimeMarker": false,
            "grid": {"categoryLines": false}, "labels": {"show": false},
            "thresholdLine": {"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
            "categoryAxes": [axis("CategoryAxis-1", "category", "bottom", json!({"type": "linear"}))],
            "valueAxes": [values],
            "seriesParams": [{
                "show": true, "type": "histogram", "mode": "stacked", "data": {"label": "Lines", "id": "1"}, "valueAxis": "ValueAxis-1",
                "drawLinesBetweenPoints": true, "lineWidth": 2, "showCircles": true
            }]
        },
        "aggs": [count(), {
            "id": "2", "enabled": true, "type": "date_histogram", "schema": "segment",
            "params": {"field": "@timestamp", "interval": "auto", "drop_partials": false, "min_doc_count": 1, "extended_bounds": {}}
        }]
    })
}

fn pie(field: &str) -> Value {
    json!({
        "type": "pie",
        "params": {
            "type": "pie", "addTooltip": true, "addLegend": true, "legendPosition": "right", "isDonut": true,
            "labels": {"show": false, "values": true, "last_level": true, "truncate": 100}
        },
        "aggs": [count(), terms(field, "segment", 8)]
    })
}

fn table(field: &str) -> Value {
    json!({
        "type": "table",
        "params": {
            "perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false, "showTotal": false, "totalFunc": "sum",
            "percentageCol": ""
        },
        "aggs": [count(), terms(field, "bucket", 50)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reference_leads_to_an_object_of_the_set() {
        let all = objects("logs-app-*");
        let key = |object: &Value| (object["type"].as_str().unwrap().to_string(), object["id"].as_str().unwrap().to_string());
        let ids: BTreeSet<_> = all.iter().map(key).collect();
        assert_eq!(ids.len(), all.len());
        for object in &all {
            for reference in object["references"].as_array().unwrap() {
                assert!(ids.contains(&key(reference)), "{reference}");
            }
        }
        let dashboard = all.last().unwrap();
        assert_eq!(dashboard["id"], "forebay-logs-app-all-dashboard");
        let panels: Vec<Value> = serde_json::from_str(dashboard["attributes"]["panelsJSON"].as_str().unwrap()).unwrap();
        let named: Vec<&Value> = panels.iter().map(|p| &p["panelRefName"]).collect();
        let referred: Vec<&Value> = dashboard["references"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
        assert_eq!((named, panels.len()), (referred, 6));
    }

    #[test]
    fn the_charts_are_over_fields_that_can_be_counted() {
        let product = crate::setup::identify::Product {
            family: crate::setup::identify::Family::Elasticsearch,
            version: (8, 19),
            number: String::new(),
        };
        let mappings = crate::setup::mappings::Types::of(&product).mappings();
        let all = objects("x");
        let fields: Vec<String> = all
            .iter()
            .filter_map(|o| o["attributes"]["visState"].as_str())
            .map(|state| {
                let state: Value = serde_json::from_str(state).unwrap();
                state["aggs"][1]["params"]["field"].as_str().unwrap().to_string()
            })
            .collect();
        assert_eq!(fields.len(), 5);
        for field in fields {
            let at = format!("/properties/{}/type", field.replace('.', "/properties/"));
            let kind = mappings.pointer(&at).unwrap_or_else(|| panic!("{field} is not mapped")).as_str().unwrap();
            assert!(matches!(kind, "keyword" | "date"), "{field}: {kind}");
        }
    }

    #[test]
    fn patterns_do_not_share_ids() {
        let ids: BTreeSet<String> = ["logs-*", "logs-a", "logs_a", "logs-*-*", "a,b"].into_iter().map(dashboard_id).collect();
        assert_eq!(ids.len(), 5);
    }
}
