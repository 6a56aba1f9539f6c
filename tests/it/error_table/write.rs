//! The table as a document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::When;
use super::contracts::{CONTRACTS, Sent};
use super::places::Reply;

/// What comes before the table.
const PREFACE: &str = "\
# Errors

What each protocol answers when something is wrong. Every line was made to happen on a listening server by
`tests/it/error_table.rs`, which compares this file with what it saw (`UPDATE_ERRORS=1 cargo test --test it error_table`
writes it anew). The server has the models `sentiment` (texts) and `digits` (pictures) and takes bodies of up to 4096
bytes; `broken` is a model that was refused and `waiting` one that is still loading. `N` is a number that differs from
time to time, `…` what was left out for brevity. Every answer has an `x-request-id` besides.

While a server drains, requests that still arrive are answered, and the connection ends with the answer.
";

/// Characters of a request or an answer that are shown.
const SHOWN: usize = 330;

pub(super) fn document(answers: &BTreeMap<(usize, When), (Sent, Reply)>) -> String {
    let mut text = PREFACE.to_owned();
    for (number, contract) in CONTRACTS.iter().enumerate() {
        let (name, about) = (contract.name, contract.about);
        // Writing to a String cannot fail.
        write!(text, "\n## {name}\n\n{about}\n\n").unwrap();
        text.push_str("| when | request | answer | body |\n|---|---|---|---|\n");
        for ((_, when), (sent, reply)) in answers.range((number, When::ALL[0])..=(number, When::NoModel)) {
            let (when, request) = (when.words(), code(&sent.shown()));
            let answer =
                std::iter::once(reply.status.clone()).chain(reply.headers.iter().map(|header| code(header)));
            let answer: Vec<String> = answer.collect();
            writeln!(text, "| {when} | {request} | {} | {} |", answer.join("<br>"), code(&reply.body))
                .unwrap();
        }
    }
    text
}

/// As code within a cell of a table, cut where it is long.
fn code(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let shown = shown.replace('|', "\\|").replace('\n', " ");
    if shown.is_empty() { "none".to_owned() } else { format!("`{}`", shown.replace('`', "'")) }
}
