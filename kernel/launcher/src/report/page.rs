//! The report as one HTML file: the results, and pictures of what happened in the guest.
//!
//! The file needs nothing beside it. It is light or dark as the reader prefers.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pageblock_protocol::stat;

use crate::command_line::options::{command, options};
use crate::guest::samples::{AuditSample, Samples};
use crate::report::pictures::canvas::{ON_A_DARK_PAGE, notation};
use crate::report::pictures::drift::{History, count_and_truth, panels};
use crate::report::pictures::{costs, latency, memory_map, orders};
use crate::report::run::Run;
use crate::report::table;

/// The series of audits of the allocator as it is.
const EXACT: &str = "exact";
/// The design that is the allocator as it is.
const DEFAULT_DESIGN: &str = "default";

/// The report of a run. Each boot has a label and its samples.
pub(crate) fn page(run: &Run<'_>, boots: &[(String, Samples)], qemu: &str) -> String {
    let scenario = run.plan.spec.scenario;
    let repeat = command(run.plan, &options(run.plan, run.accel));
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "pageblock: " (scenario) }
                style { (PreEscaped(style())) }
            }
            body {
                h1 { "pageblock: " (scenario) }
                p.verdict.bad[run.judgement.status.code() != 0] { (table::conclusion(run)) }
                p { (table::title(run)) }
                (counts(boots))
                @if let Some(picture) = costs::costs(&run.outcome.transcript.rows) {
                    (figure("Guest instructions for each operation", &picture,
                        "Less is better; the scale is logarithmic. A bar is the target."))
                }
                (latencies(boots))
                (memory(boots))
                h2 { "Results" }
                pre { (table::results(run, 110)) }
                h2 { "Run it again" }
                pre { (repeat) }
                @if let Some(cost) = cost(run) { p.small { (cost) } }
                p.small {
                    "pageblock " (env!("CARGO_PKG_VERSION")) ", " (qemu) ", " (run.accel.qemu_value()) "."
                }
            }
        }
    };
    markup.into_string()
}

/// What the samples took of the run.
fn cost(run: &Run<'_>) -> Option<String> {
    let stat = |key| run.outcome.transcript.stat(key).and_then(|value| u32::try_from(value).ok());
    let (spent, wall) = (stat(stat::SAMPLES_CPU_MS)?, stat(stat::WALL_MS).filter(|wall| *wall > 0)?);
    let share = 100.0 * f64::from(spent) / (f64::from(wall) * f64::from(run.plan.machine.cpus));
    Some(format!("Taking the samples took {spent} ms of CPU time, {share:.1} % of the run."))
}

/// The count against the truth.
fn counts(boots: &[(String, Samples)]) -> Markup {
    let histories = histories(boots);
    let audits: usize = boots.iter().map(|(_, samples)| samples.audits.len()).sum();
    let alone = match boots {
        [(_, samples)] if samples.audit_series() == [EXACT] => Some(&samples.audits),
        _ => None,
    };
    html! {
        @if let Some(audits) = alone {
            (figure("The count against the truth", &count_and_truth(audits),
                "The thin line is the free counter, the broad one the free pages as a walk of all lists \
                 found them at the same moment."))
        }
        @if !histories.is_empty() {
            (figure("The free counter less the free pages, in pages", &panels(&histories),
                &format!("Each of the {audits} audits is a point. All panels have the same scale, which is \
                          logarithmic on both sides of 0. Above 0 watermark checks pass without memory; below 0 \
                          memory is lost.")))
        }
    }
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

fn latencies(boots: &[(String, Samples)]) -> Markup {
    let all: Vec<u64> = boots.iter().flat_map(|(_, samples)| &samples.latencies).map(|(_, us)| *us).collect();
    let series = boots.iter().flat_map(|(_, samples)| &samples.latencies).next();
    html! {
        @if let Some((series, _)) = series {
            (figure(&format!("Duration of {}", series.replace('-', " ")), &latency::histogram(&all),
                &format!("{} operations; the scale is logarithmic.", all.len())))
        }
    }
}

fn memory(boots: &[(String, Samples)]) -> Markup {
    html! {
        @if let [(_, samples)] = boots {
            @if !samples.maps.is_empty() {
                (figure("The map of memory", &memory_map::map(&samples.maps),
                    "A row is a moment, a cell a pageblock, from low addresses to high ones. The more of its \
                     pages are in use, the stronger its colour."))
            }
            @if !samples.orders.is_empty() {
                (figure("Free memory by the order of its blocks", &orders::areas(&samples.orders),
                    "The blocks on the free lists of all zones; pages on pcplists are not among them."))
            }
        }
    }
}

fn figure(title: &str, picture: &str, caption: &str) -> Markup {
    html! {
        h2 { (title) }
        figure {
            (PreEscaped(picture))
            figcaption { (caption) }
        }
    }
}

fn style() -> String {
    let on_dark = ON_A_DARK_PAGE.map(|(light, dark)| {
        let (light, dark) = (notation(light), notation(dark));
        format!("svg [fill=\"{light}\"] {{ fill: {dark} }} svg [stroke=\"{light}\"] {{ stroke: {dark} }}")
    });
    format!(
        ":root {{ color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --soft: #59636e; --code: #f6f8fa }}\n\
         body {{ max-width: 1080px; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; \
         background: var(--page); color: var(--ink) }}\n\
         h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.15rem; margin-top: 2rem }}\n\
         figure {{ margin: 0; overflow-x: auto }} figcaption, .small {{ color: var(--soft); font-size: 0.9rem }}\n\
         pre {{ background: var(--code); padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; line-height: 1.2 }}\n\
         .verdict {{ white-space: pre-line; font-weight: 600; color: #009e73 }} .verdict.bad {{ color: #d55e00 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         :root {{ --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --code: #161b22 }}\n{}\n}}\n",
        on_dark.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use pageblock_protocol::Sample;

    use super::*;
    use crate::report::run::tests::{GOOD, with_run};

    fn samples(series: &[(&str, i64)]) -> Samples {
        let mut samples = Samples::default();
        for (at_us, (name, drift)) in (1000..).step_by(1000).zip(series) {
            samples.receive(name, at_us, Sample::Audit { counter: 5000 + drift, truth: 5000 });
            samples.receive("contiguous-allocation", at_us, Sample::Latency(at_us));
            samples.receive("memory", at_us, Sample::Orders("3,2,1"));
            samples.receive("memory", at_us, Sample::Map("M0C9"));
        }
        samples
    }

    #[test]
    fn the_page_is_one_file_with_the_verdict_the_pictures_and_the_command() {
        let lines = GOOD.to_owned() + "@pb stat samples_cpu_ms 400";
        with_run("--seed 7", &lines, |run| {
            let boots = [("cma".to_owned(), samples(&[("exact", 0), ("exact", 0)]))];
            let text = page(&run, &boots, "QEMU 0.0");
            for part in [
                "every invariant held",
                "The count against the truth",
                "The free counter less the free pages",
                "Duration of contiguous allocation",
                "Free memory by the order",
                "The map of memory",
                "cargo run -- cma --cpus 4 ",
                "prefers-color-scheme: dark",
                "took 400 ms of CPU time, 1.0 % of the run.",
            ] {
                assert!(text.contains(part), "{part} is not in the page");
            }
            assert_eq!(text.matches("<svg ").count(), 5);
            let links = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!links.contains("http") && !links.contains("src="), "the page needs other files");
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

    #[test]
    fn text_of_the_guest_is_escaped() {
        let lines = GOOD.to_owned() + "@pb broken <script>x</script>";
        with_run("", &lines, |run| {
            let text = page(&run, &[], "");
            assert!(!text.contains("<script>"), "{text}");
        });
    }
}
