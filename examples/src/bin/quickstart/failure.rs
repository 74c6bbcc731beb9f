//! What a client is told when a query failed.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// A query that failed. What was not found is a 404, which no policy stores by itself.
pub(crate) struct Failure(rusqlite::Error);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self.0 {
            rusqlite::Error::QueryReturnedNoRows => (StatusCode::NOT_FOUND, "not found\n"),
            // A real service would log the error.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the database failed\n"),
        }
        .into_response()
    }
}
