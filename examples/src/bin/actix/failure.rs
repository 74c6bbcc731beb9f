//! What goes wrong in a handler, as a response.

use actix_web::{HttpResponse, ResponseError};
use std::fmt;

#[derive(Debug)]
pub(crate) enum Failure {
    NotFound,
    Database,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self::NotFound,
            _ => Self::Database,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such thing",
            Self::Database => "the database failed",
        })
    }
}

impl ResponseError for Failure {
    fn error_response(&self) -> HttpResponse {
        let mut response = match self {
            Self::NotFound => HttpResponse::NotFound(),
            Self::Database => HttpResponse::InternalServerError(),
        };
        response.body(self.to_string())
    }
}
