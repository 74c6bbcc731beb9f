//! A SQLite file, made when it is first wanted, and a small pool of connections to it.

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

/// So many queries run at a time; others wait for their turn.
const CONNECTIONS: u32 = 4;

/// Marks a file as one of this example. A change of the schema asks for another number.
const APPLICATION: i32 = 0x7175_6902;

/// Not to be made by opening it; and each connection is used by one thread at a time.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A cheap handle; clones share the connections and the counts.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    queries: AtomicUsize,
    is_failing: AtomicBool,
}

impl Database {
    /// Opens the file, making it first where there is none. Takes a moment: not for async code.
    ///
    /// # Errors
    ///
    /// Names the file, and says why it is of no use.
    pub fn open(path: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::error::Error| format!("database {}: {error}", path.display());
        make_if_missing(path).map_err(|error| named(&*error))?;
        let is_ours = is_ours(path).map_err(|error| named(&error))?;
        if !is_ours {
            return Err(format!(
                "{} is not a database of this version of the example; name another file with --db \
                 or the environment variable QUICKSTART_DB, or delete it",
                path.display()
            ));
        }
        let connection = connect(path).map_err(|error| named(&error))?;
        Ok(Self(Arc::new(Inner {
            path: path.to_path_buf(),
            idle: Mutex::new(vec![connection]),
            turns: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            queries: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
        })))
    }

    /// Runs `ask` on a thread where it may block, and counts it.
    ///
    /// # Errors
    ///
    /// Those of SQLite, and of a database that is [failing](Self::set_failing).
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        self.0.queries.fetch_add(1, Ordering::SeqCst);
        let turn = Arc::clone(&self.0.turns).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let inner = Arc::clone(&self.0);
        let answer = spawn_blocking(move || {
            let answer = inner.run(ask);
            // Held here, not by the caller, who may leave before the query has ended.
            drop(turn);
            answer
        });
        answer.await.expect("a query does not panic")
    }

    /// The queries so far.
    pub(crate) fn queries(&self) -> usize {
        self.0.queries.load(Ordering::SeqCst)
    }

    /// From now on every query fails, or none.
    pub fn set_failing(&self, is_failing: bool) {
        self.0.is_failing.store(is_failing, Ordering::SeqCst);
    }

    /// Keeps every query waiting until what is returned is dropped.
    pub(crate) async fn hold_up(&self) -> OwnedSemaphorePermit {
        let all = Arc::clone(&self.0.turns).acquire_many_owned(CONNECTIONS);
        all.await.expect("the semaphore is never closed")
    }
}

impl Inner {
    fn run<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        if self.is_failing.load(Ordering::SeqCst) {
            let error = ffi::Error::new(ffi::SQLITE_IOERR);
            return Err(rusqlite::Error::SqliteFailure(error, None));
        }
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| connect(&self.path), Ok)?;
        let answer = ask(&connection);
        self.idle().push(connection);
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    // Who reads and who writes do not wait for each other.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(connection)
}

/// Leaves the file as it is.
fn is_ours(path: &Path) -> rusqlite::Result<bool> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    match connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0)) {
        Ok(mark) => Ok(mark == APPLICATION),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file of this name is complete: it is made under another name, by one process at a time.
fn make_if_missing(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if path.exists() {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let lock = File::create(beside(path, ".lock"))?;
    lock.lock()?;
    if path.exists() {
        return Ok(());
    }
    // What a process that was killed left of this file, or of one that was deleted since. SQLite would
    // take the log of the other for that of the new one.
    let unfinished = beside(path, ".unfinished");
    for left in [&unfinished, &beside(path, "-wal"), &beside(path, "-shm")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    fill(&unfinished)?;
    fs::rename(unfinished, path)?;
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = off; PRAGMA application_id = {APPLICATION}; BEGIN; {} COMMIT;",
        include_str!("schema.sql")
    ))?;
    connection.close().map_err(|(_, error)| error)
}
