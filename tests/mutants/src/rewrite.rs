//! One source file with all its mutants: each body becomes a `match` over the number of the mutant.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, ReturnType, Signature, Type};

use crate::mutant::{Mutant, Place};

/// A rewritten file.
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// The lines of each mutant's copy, from the first to the last, counted from 1.
    pub(crate) lines: BTreeMap<u32, RangeInclusive<usize>>,
    /// The lines of each function that has mutants, and those mutants.
    functions: Vec<(RangeInclusive<usize>, Vec<u32>)>,
}

impl Rewritten {
    /// The mutant whose copy has `line`, or all those of the function that has it.
    pub(crate) fn mutants_at(&self, line: usize) -> Vec<u32> {
        if let Some((number, _)) = self.lines.iter().find(|(_, lines)| lines.contains(&line)) {
            return vec![*number];
        }
        let function = self.functions.iter().find(|(lines, _)| lines.contains(&line));
        function.map_or(Vec::new(), |(_, mutants)| mutants.clone())
    }
}

/// The bodies of a file's functions, except those inside others.
struct Bodies {
    offsets: Vec<usize>,
    found: Vec<Body>,
}

/// Where a body is, braces included, in bytes.
struct Body {
    start: usize,
    end: usize,
    /// `impl Iterator` of the return type: its copies have types of their own.
    opaque: Option<(usize, usize)>,
}

impl Bodies {
    /// Byte offset of a place. The sources have no characters of several bytes outside comments.
    fn offset(&self, at: LineColumn) -> usize {
        self.offsets[at.line - 1] + at.column
    }

    fn body(&mut self, signature: &Signature, block: &Block) {
        let span = block.span();
        let opaque = match &signature.output {
            ReturnType::Type(_, output) => match &**output {
                Type::ImplTrait(output) => {
                    Some((self.offset(output.bounds.span().start()), self.offset(output.bounds.span().end())))
                }
                _ => None,
            },
            ReturnType::Default => None,
        };
        self.found.push(Body { start: self.offset(span.start()), end: self.offset(span.end()), opaque });
    }
}

impl<'ast> Visit<'ast> for Bodies {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.body(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.body(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.body(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Puts `mutants`, which are all of this file, into `text`. A mutant outside functions is left out.
pub(crate) fn rewrite(text: &str, mutants: &[&Mutant]) -> Rewritten {
    let offsets: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let place = |place: Place| offsets[place.line - 1] + place.column - 1;
    let mut bodies = Bodies { offsets: offsets.clone(), found: Vec::new() };
    bodies.visit_file(&syn::parse_file(text).expect("a source file"));
    bodies.found.sort_by_key(|body| body.start);

    let (mut out, mut written) = (String::new(), 0);
    let (mut lines, mut functions) = (BTreeMap::new(), Vec::new());
    let line_of = |out: &str| out.matches('\n').count() + 1;
    for body in &bodies.found {
        let inside: Vec<_> = mutants
            .iter()
            .filter(|mutant| body.start <= place(mutant.span.start) && place(mutant.span.end) <= body.end)
            .collect();
        if inside.is_empty() {
            continue;
        }
        let arm = |code: &str| match body.opaque {
            Some((from, to)) => {
                format!("std::boxed::Box::new({code}) as std::boxed::Box<dyn {} + '_>", &text[from..to])
            }
            None => code.to_owned(),
        };
        out.push_str(&text[written..body.start]);
        let start = line_of(&out);
        out.push_str("{ match crate::mutant() {\n");
        for mutant in &inside {
            let (from, to) = (place(mutant.span.start), place(mutant.span.end));
            let copy = format!("{}{}{}", &text[body.start..from], mutant.replacement, &text[to..body.end]);
            let first = line_of(&out);
            writeln!(out, "{} => {},", mutant.number, arm(&copy)).unwrap();
            lines.insert(mutant.number, first..=line_of(&out) - 1);
        }
        write!(out, "_ => {},\n}} }}", arm(&text[body.start..body.end])).unwrap();
        written = body.end;
        functions.push((start..=line_of(&out), inside.iter().map(|mutant| mutant.number).collect()));
    }
    out.push_str(&text[written..]);
    Rewritten { text: out, lines, functions }
}
