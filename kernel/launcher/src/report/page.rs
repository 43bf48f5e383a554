//! The report as one HTML file: the results, and pictures of what happened in the guest.
//!
//! The file needs nothing beside it. It is light or dark as the reader prefers.

use maud::{DOCTYPE, PreEscaped, html};
use pageblock_protocol::stat;

use crate::command_line::options::{command, options};
use crate::guest::samples::Samples;
use crate::report::figures::{figures, on_a_dark_page};
use crate::report::run::Run;
use crate::report::table;

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
                @for figure in figures(run, boots) {
                    h2 { (figure.title) }
                    figure {
                        (PreEscaped(&figure.svg))
                        figcaption { (figure.caption) }
                    }
                }
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

fn style() -> String {
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
        on_a_dark_page("svg ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::tests::samples;
    use crate::report::run::tests::{GOOD, with_run};

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
                "Where that time goes",
                "The map of memory",
                "Free memory by the order",
                "cargo run -- cma --cpus 4 ",
                "prefers-color-scheme: dark",
                "took 400 ms of CPU time, 1.0 % of the run.",
            ] {
                assert!(text.contains(part), "{part} is not in the page");
            }
            assert_eq!(text.matches("<svg ").count(), 6);
            let links = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!links.contains("http") && !links.contains("src="), "the page needs other files");
        });
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
