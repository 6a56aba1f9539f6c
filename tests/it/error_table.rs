//! What every protocol answers when something is wrong: each cell of the table is made to happen on a listening server,
//! and the whole table is `docs/errors.md`.

mod contracts;
mod places;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use self::contracts::CONTRACTS;
use self::places::{Place, Places};

/// What is wrong, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    UnknownModel,
    UnknownVersion,
    WrongType,
    WrongShape,
    MissingInput,
    NotParsed,
    TooLarge,
    WrongContent,
    Refused,
    Loading,
    NotReady,
    QueueFull,
    DeadlinePassed,
    Draining,
    AskedWhileDraining,
    LoadedAlready,
    NoRoom,
    NoModel,
}

impl When {
    const ALL: [Self; 18] = [
        Self::UnknownModel,
        Self::UnknownVersion,
        Self::WrongType,
        Self::WrongShape,
        Self::MissingInput,
        Self::NotParsed,
        Self::TooLarge,
        Self::WrongContent,
        Self::Refused,
        Self::Loading,
        Self::NotReady,
        Self::QueueFull,
        Self::DeadlinePassed,
        Self::Draining,
        Self::AskedWhileDraining,
        Self::LoadedAlready,
        Self::NoRoom,
        Self::NoModel,
    ];

    /// In words.
    fn words(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown model",
            Self::UnknownVersion => "unknown version",
            Self::WrongType => "wrong type",
            Self::WrongShape => "wrong shape",
            Self::MissingInput => "missing input",
            Self::NotParsed => "not JSON, no message",
            Self::TooLarge => "oversize body",
            Self::WrongContent => "unsupported content type or encoding",
            Self::Refused => "model was refused",
            Self::Loading => "model is loading",
            Self::NotReady => "health, not ready",
            Self::QueueFull => "queue full",
            Self::DeadlinePassed => "deadline passed",
            Self::Draining => "health, draining",
            Self::AskedWhileDraining => "prediction while draining",
            Self::LoadedAlready => "load: loaded already",
            Self::NoRoom => "load: no room",
            Self::NoModel => "load: no model there",
        }
    }

    /// Where it happens.
    fn place(self) -> Place {
        match self {
            Self::Refused => Place::Refused,
            Self::Loading => Place::Loading,
            Self::QueueFull => Place::Full,
            Self::DeadlinePassed => Place::Busy,
            Self::Draining | Self::AskedWhileDraining => Place::Draining,
            _ => Place::Well,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_as_the_table_says() {
    let mut places = Places::open().await;
    let mut answers = BTreeMap::new();
    // What needs room in the queue comes before what needs it full.
    let (full, others): (Vec<When>, Vec<When>) =
        When::ALL.into_iter().partition(|when| when.place() == Place::Full);
    for when in others.into_iter().chain(full) {
        if when.place() == Place::Full {
            places.fill().await;
        }
        for (number, contract) in CONTRACTS.iter().enumerate() {
            if let Some(sent) = (contract.ask)(when) {
                let answer = places.ask(when, &sent).await;
                answers.insert((number, when), (sent, answer));
            }
        }
    }
    places.check_full();
    let table = write::document(&answers);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE_ERRORS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (found, said)) in table.lines().zip(committed.lines()).enumerate() {
        assert_eq!(found, said, "docs/errors.md, line {}: UPDATE_ERRORS=1 writes it anew", line + 1);
    }
    assert_eq!(
        table.lines().count(),
        committed.lines().count(),
        "docs/errors.md: UPDATE_ERRORS=1 writes it anew"
    );
}
