//! The pictures of a run, with their titles: of the page, or as files of their own.

use pageblock_protocol::Latency;

use crate::guest::samples::{AuditSample, Samples};
use crate::report::pictures::canvas::{ON_A_DARK_PAGE, notation};
use crate::report::pictures::drift::{History, count_and_truth, panels};
use crate::report::pictures::{costs, latency, memory_map, orders, shares};
use crate::report::run::Run;

/// The series of audits of the allocator as it is.
const EXACT: &str = "exact";
/// The design that is the allocator as it is.
const DEFAULT_DESIGN: &str = "default";

/// A picture.
pub(crate) struct Figure {
    /// The name of its file, without the name of the scenario.
    pub(crate) name: &'static str,
    /// What it is a picture of.
    pub(crate) title: String,
    /// The picture, for a light page.
    pub(crate) svg: String,
    /// What is to be seen.
    pub(crate) caption: String,
}

/// The pictures of a run.
pub(crate) fn figures(run: &Run<'_>, boots: &[(String, Samples)]) -> Vec<Figure> {
    let all = [
        count(boots),
        drift(boots),
        costs::costs(&run.outcome.transcript.rows).map(|svg| Figure {
            name: "instructions",
            title: "Guest instructions for each operation".to_owned(),
            svg,
            caption: "Less is better; the scale is logarithmic. A bar is the target.".to_owned(),
        }),
        durations(boots),
        shares(boots),
        map_over_time(boots),
        orders_over_time(boots),
    ];
    all.into_iter().flatten().collect()
}

/// The count against the truth, if all audits are of the allocator as it is.
fn count(boots: &[(String, Samples)]) -> Option<Figure> {
    let [(_, samples)] = boots else { return None };
    (samples.audit_series() == [EXACT]).then(|| Figure {
        name: "count",
        title: "The count against the truth".to_owned(),
        svg: count_and_truth(&samples.audits),
        caption:
            "The thin line is the free counter, the broad one the free pages as a walk of all lists found \
                  them at the same moment."
                .to_owned(),
    })
}

fn drift(boots: &[(String, Samples)]) -> Option<Figure> {
    let histories = histories(boots);
    let audits: usize = boots.iter().map(|(_, samples)| samples.audits.len()).sum();
    (!histories.is_empty()).then(|| Figure {
        name: "drift",
        title: "The free counter less the free pages, in pages".to_owned(),
        svg: panels(&histories),
        caption: format!(
            "Each of the {audits} audits is a point. All panels have the same scale, which is logarithmic on \
             both sides of 0. Above 0 watermark checks pass without memory; below 0 memory is lost."
        ),
    })
}

/// One history for each boot with audits, or for each design. If there are several boots, the first
/// history is that of the allocator as it is, in all of them.
fn histories(boots: &[(String, Samples)]) -> Vec<History<'_>> {
    let mut found = Vec::new();
    if boots.len() > 1 {
        let exact =
            boots.iter().flat_map(|(_, samples)| &samples.audits).filter(|audit| audit.series == EXACT);
        let mut exact: Vec<&AuditSample> = exact.collect();
        exact.sort_by_key(|audit| audit.at_us);
        found.push(History { title: "no mistake, all boots".to_owned(), exact, mistaken: Vec::new() });
    }
    for (label, samples) in boots {
        let series = samples.audit_series();
        if series.contains(&EXACT) {
            let (exact, mistaken) = samples.audits.iter().partition(|audit| audit.series == EXACT);
            found.push(History { title: label.clone(), exact, mistaken });
            continue;
        }
        for name in series {
            let audits = samples.audits.iter().filter(|audit| audit.series == name).collect();
            let (exact, mistaken) =
                if name == DEFAULT_DESIGN { (audits, Vec::new()) } else { (Vec::new(), audits) };
            found.push(History { title: name.to_owned(), exact, mistaken });
        }
    }
    found.retain(|history| !history.exact.is_empty() || !history.mistaken.is_empty());
    found
}

fn durations(boots: &[(String, Samples)]) -> Option<Figure> {
    let all = || boots.iter().flat_map(|(_, samples)| &samples.latencies);
    let (series, _) = all().next()?;
    let durations: Vec<u64> = all().map(|(_, latency)| latency.whole).collect();
    Some(Figure {
        name: "durations",
        title: format!("Duration of {}", series.replace('-', " ")),
        svg: latency::histogram(&durations),
        caption: format!("{} operations; the scale is logarithmic.", durations.len()),
    })
}

fn shares(boots: &[(String, Samples)]) -> Option<Figure> {
    let latencies: Vec<&Latency> =
        boots.iter().flat_map(|(_, samples)| &samples.latencies).map(|(_, latency)| latency).collect();
    (!latencies.is_empty()).then(|| Figure {
        name: "shares",
        title: "Where that time goes".to_owned(),
        svg: shares::bar(&latencies),
        caption:
            "All operations added up. Audits are made by the scenario, between the steps of an operation; \
                  a kernel has none."
                .to_owned(),
    })
}

fn map_over_time(boots: &[(String, Samples)]) -> Option<Figure> {
    let [(_, samples)] = boots else { return None };
    (!samples.maps.is_empty()).then(|| Figure {
        name: "map",
        title: "The map of memory".to_owned(),
        svg: memory_map::map(&samples.maps),
        caption:
            "A row is a moment, a cell a pageblock, from low addresses to high ones. The more of its pages \
                  are in use, the stronger its colour."
                .to_owned(),
    })
}

fn orders_over_time(boots: &[(String, Samples)]) -> Option<Figure> {
    let [(_, samples)] = boots else { return None };
    (!samples.orders.is_empty()).then(|| Figure {
        name: "orders",
        title: "Free memory by the order of its blocks".to_owned(),
        svg: orders::areas(&samples.orders),
        caption: "The blocks on the free lists of all zones; pages on pcplists are not among them."
            .to_owned(),
    })
}

/// The picture as a file of its own: it has a background, and is dark where the reader prefers
/// that.
pub(crate) fn standalone(figure: &Figure) -> String {
    let (page, dark_page) = ("#FFFFFF", "#0D1117");
    let style = format!(
        "<style>@media (prefers-color-scheme: dark) {{ .page {{ fill: {dark_page} }} {} }}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\" fill=\"{page}\"/>\n",
        on_a_dark_page("")
    );
    let end = figure.svg.find('>').map_or(0, |at| at + 1);
    let (head, rest) = figure.svg.split_at(end);
    format!("{head}\n{style}{}", rest.trim_start())
}

/// The rules that replace the colours of a light page, in a picture or below it.
pub(crate) fn on_a_dark_page(within: &str) -> String {
    let rules = ON_A_DARK_PAGE.map(|(light, dark)| {
        let (light, dark) = (notation(light), notation(dark));
        format!(
            "{within}[fill=\"{light}\"] {{ fill: {dark} }} {within}[stroke=\"{light}\"] {{ stroke: {dark} }}"
        )
    });
    rules.join("\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use pageblock_protocol::Sample;

    use super::*;
    use crate::report::run::tests::{GOOD, with_run};

    /// Samples of audits with those drifts, with a duration and a look at memory for each.
    pub(crate) fn samples(series: &[(&str, i64)]) -> Samples {
        let mut samples = Samples::default();
        for (at_us, (name, drift)) in (1000..).step_by(1000).zip(series) {
            samples.receive(name, at_us, Sample::Audit { counter: 5000 + drift, truth: 5000 });
            samples.receive(
                "contiguous-allocation",
                at_us,
                Sample::Latency(Latency { whole: at_us, ..Latency::default() }),
            );
            samples.receive("memory", at_us, Sample::Orders("3,2,1"));
            samples.receive("memory", at_us, Sample::Map("M0C9"));
        }
        samples
    }

    #[test]
    fn a_picture_is_a_file_of_its_own() {
        with_run("", GOOD, |run| {
            let figures = figures(&run, &[("cma".to_owned(), samples(&[("exact", 0)]))]);
            let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
            assert_eq!(names, ["count", "drift", "durations", "shares", "map", "orders"]);
            for figure in &figures {
                let text = standalone(figure);
                assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
                assert!(text.contains("xmlns=") && text.contains("<style>"), "{text}");
            }
        });
    }

    #[test]
    fn each_mistake_has_a_panel_beside_that_of_none() {
        let boots = ["one", "two"].map(|name| (name.to_owned(), samples(&[("exact", 0), ("mistakes", 700)])));
        let titles: Vec<String> = histories(&boots).into_iter().map(|history| history.title).collect();
        assert_eq!(titles, ["no mistake, all boots", "one", "two"]);
        let designs = [("designs".to_owned(), samples(&[("default", 0), ("parked", 0), ("default", 0)]))];
        let titles: Vec<String> = histories(&designs).into_iter().map(|history| history.title).collect();
        assert_eq!(titles, ["default", "parked"]);
    }
}
