//! Writes the dashboards of `deploy/grafana/` as Grafana reads them, from the pages beside them. A page says what an operator sees; what
//! Grafana needs beside that is the same for every panel, and stands here.
//!
//! Invariant: each query is about the chosen jobs and instances, because that is added to every metric it names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// One dashboard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    title: String,
    description: String,
    /// The metric whose jobs and instances can be chosen.
    of: String,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    tells: String,
    draw: Draw,
    unit: String,
    /// Of [`WIDTH`].
    width: Option<u64>,
    /// Each from a value on; what is below the least has its colour, too.
    #[serde(default)]
    colours: BTreeMap<String, f64>,
    /// Of columns of a table that have another unit.
    #[serde(default)]
    units: BTreeMap<String, String>,
    /// Alerts whose pages help here.
    #[serde(default)]
    runbooks: Vec<String>,
    /// By their legend; in a table, by their column.
    queries: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Draw {
    /// One number.
    Stat,
    Lines,
    /// Lines on top of each other, whose sum means something.
    Stack,
    /// What is now, as bars up to 1.
    Bars,
    /// What is now, a row for each job and instance.
    Table,
}

/// The JSON of a page's dashboard; `name` is that of its file.
///
/// # Panics
///
/// When the page has a mistake.
#[must_use]
pub fn dashboard(name: &str, page: &str) -> String {
    let page: Page = serde_saphyr::from_str(page).unwrap_or_else(|why| panic!("{name}: {why}"));
    let dashboard = json!({
        "uid": format!("adit-{name}"),
        "title": format!("adit / {}", page.title),
        "description": page.description,
        "tags": ["adit"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-3h", "to": "now" },
        "links": [{
            "type": "dashboards", "title": "adit", "tags": ["adit"], "asDropdown": false, "keepTime": true, "includeVars": false,
        }],
        "templating": { "list": variables(&page.of) },
        "panels": panels(&page.rows),
    });
    let mut text = serde_json::to_string_pretty(&dashboard).unwrap();
    text.push('\n');
    text
}

fn variables(of: &str) -> [Value; 4] {
    let chosen = |name: &str, label: &str, values: String| {
        json!({
            "type": "query", "name": name, "label": label, "datasource": source(), "definition": values,
            "query": { "query": values, "refId": name }, "refresh": 2, "sort": 1,
            "multi": true, "includeAll": true, "allValue": ".+", "current": { "text": ["All"], "value": ["$__all"] },
        })
    };
    [
        json!({ "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus" }),
        chosen("job", "Job", format!("label_values({of}, job)")),
        chosen(
            "instance",
            "Instance",
            format!("label_values({of}{{job=~\"$job\"}}, instance)"),
        ),
        json!({
            "type": "textbox", "name": "runbooks", "label": "Runbooks are at", "query": RUNBOOKS,
            "current": { "text": RUNBOOKS, "value": RUNBOOKS },
        }),
    ]
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn panels(rows: &[Row]) -> Vec<Value> {
    let mut placed = Vec::new();
    let mut top = 0;
    for row in rows {
        let id = placed.len() + 1;
        placed.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": top, "w": WIDTH, "h": 1 },
        }));
        top += 1;
        let (mut left, mut height) = (0, 0);
        for panel in &row.panels {
            let (wide, high) = panel.size();
            if left + wide > WIDTH {
                (left, top, height) = (0, top + height, 0);
            }
            let mut drawn = panel.drawn();
            drawn["id"] = (placed.len() + 1).into();
            drawn["gridPos"] = json!({ "x": left, "y": top, "w": wide, "h": high });
            placed.push(drawn);
            (left, height) = (left + wide, height.max(high));
        }
        top += height;
    }
    placed
}

impl Panel {
    fn size(&self) -> (u64, u64) {
        let (wide, high) = match self.draw {
            Draw::Stat => (3, 4),
            Draw::Lines | Draw::Stack | Draw::Bars | Draw::Table => (8, 8),
        };
        (self.width.unwrap_or(wide), high)
    }

    fn drawn(&self) -> Value {
        let (kind, options, custom) = match self.draw {
            Draw::Stat => ("stat", now(&[("graphMode", "area")]), json!({})),
            Draw::Bars => (
                "bargauge",
                now(&[("displayMode", "gradient"), ("orientation", "horizontal")]),
                json!({}),
            ),
            Draw::Table => ("table", json!({ "showHeader": true }), json!({})),
            Draw::Lines => (
                "timeseries",
                series(),
                json!({ "fillOpacity": 0, "axisSoftMin": 0 }),
            ),
            Draw::Stack => (
                "timeseries",
                series(),
                json!({ "fillOpacity": 30, "axisSoftMin": 0, "stacking": { "mode": "normal", "group": "A" } }),
            ),
        };
        let mut defaults = json!({
            "unit": self.unit, "custom": custom,
            "thresholds": { "mode": "absolute", "steps": self.steps() },
            "color": { "mode": if self.colours.is_empty() { "palette-classic" } else { "thresholds" } },
        });
        if self.draw == Draw::Bars {
            (defaults["min"], defaults["max"]) = (0.into(), 1.into());
        }
        json!({
            "type": kind, "title": self.title, "description": self.tells, "datasource": source(), "links": self.links(),
            "targets": self.targets(), "options": options, "transformations": self.transformations(),
            "fieldConfig": { "defaults": defaults, "overrides": self.overrides() },
        })
    }

    /// Grafana wants one at least.
    fn steps(&self) -> Vec<Value> {
        if self.colours.is_empty() {
            return vec![json!({ "color": "green", "value": null })];
        }
        let mut steps: Vec<_> = self.colours.iter().collect();
        steps.sort_by(|(_, from), (_, other)| from.total_cmp(other));
        let least = steps.first().map(|(_, from)| **from);
        let steps = steps.into_iter().map(|(colour, from)| {
            let from = Some(*from).filter(|from| Some(*from) != least);
            json!({ "color": colour, "value": from })
        });
        steps.collect()
    }

    fn links(&self) -> Vec<Value> {
        let link = |name: &String| json!({ "title": name, "url": format!("${{runbooks}}/{name}.md"), "targetBlank": true });
        self.runbooks.iter().map(link).collect()
    }

    /// Each with the letter that names its values.
    fn lettered(&self) -> impl Iterator<Item = (char, &String, &String)> {
        let queries = ('A'..='Z').zip(&self.queries);
        queries.map(|(letter, (legend, query))| (letter, legend, query))
    }

    fn targets(&self) -> Vec<Value> {
        let is_now = matches!(self.draw, Draw::Bars | Draw::Table);
        let format = if self.draw == Draw::Table {
            "table"
        } else {
            "time_series"
        };
        let targets = self.lettered().map(|(letter, legend, query)| {
            json!({
                "refId": letter, "datasource": source(), "expr": of_the_chosen(query), "legendFormat": legend, "format": format,
                "instant": is_now, "range": !is_now,
            })
        });
        targets.collect()
    }

    /// A table's queries become its columns.
    fn transformations(&self) -> Vec<Value> {
        if self.draw != Draw::Table {
            return Vec::new();
        }
        let is_only = self.queries.len() == 1;
        let mut names = BTreeMap::new();
        for (letter, legend, _) in self.lettered() {
            let value = if is_only {
                "Value".to_owned()
            } else {
                format!("Value #{letter}")
            };
            names.insert(value, legend);
        }
        vec![
            json!({ "id": "merge", "options": {} }),
            json!({ "id": "organize", "options": { "excludeByName": { "Time": true }, "renameByName": names } }),
        ]
    }

    fn overrides(&self) -> Vec<Value> {
        let unit = |(column, unit): (&String, &String)| {
            json!({
                "matcher": { "id": "byName", "options": column },
                "properties": [{ "id": "unit", "value": unit }],
            })
        };
        self.units.iter().map(unit).collect()
    }
}

/// The last value, drawn so.
fn now(more: &[(&str, &str)]) -> Value {
    let mut options = json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
    });
    for (key, value) in more {
        options[*key] = (*value).into();
    }
    options
}

fn series() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

/// Adds to each metric of ours that it is one of the chosen jobs and instances.
fn of_the_chosen(query: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut chosen = String::new();
    let mut rest = query;
    while let Some(at) = rest.find(is_name) {
        let (before, from) = rest.split_at(at);
        let (name, after) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        chosen.push_str(before);
        chosen.push_str(name);
        rest = after;
        if !["adit_", "process_"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            continue;
        }
        chosen.push_str(CHOSEN);
        rest = match after.strip_prefix('{') {
            Some(more) => {
                chosen.push(',');
                more
            }
            None => {
                chosen.push('}');
                after
            }
        };
    }
    chosen.push_str(rest);
    chosen
}

const CHOSEN: &str = r#"{job=~"$job",instance=~"$instance""#;
/// Where they are in this repository; an operator writes where that is.
const RUNBOOKS: &str = "docs/runbooks";
/// Of a dashboard, by Grafana's own count.
const WIDTH: u64 = 24;
