CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY,
    suite TEXT NOT NULL,
    suite_hash TEXT NOT NULL,
    baseline TEXT NOT NULL,
    arms TEXT NOT NULL,             -- JSON list, in the order of the suite
    seed TEXT NOT NULL,             -- decimal: a seed may be wider than 64 bits
    image TEXT NOT NULL,
    host_fingerprint TEXT NOT NULL,
    started TEXT NOT NULL,          -- ISO 8601, UTC
    ended TEXT,
    status TEXT NOT NULL CHECK (status IN ('running', 'complete', 'partial', 'failed')),
    stop_reason TEXT,
    version TEXT NOT NULL,
    threshold REAL NOT NULL DEFAULT 0.05,
    ci_width REAL                   -- NULL where the number of blocks was fixed
) STRICT;

CREATE TABLE IF NOT EXISTS trial (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    trial INTEGER NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    workload TEXT NOT NULL,
    params TEXT NOT NULL,           -- JSON object
    arm TEXT NOT NULL,
    runtime TEXT NOT NULL,
    accel TEXT NOT NULL CHECK (accel IN ('none', 'kvm', 'tcg')),
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    error TEXT,
    started TEXT NOT NULL,
    log TEXT,                       -- relative to the run's directory
    facts TEXT NOT NULL,            -- JSON object
    UNIQUE (run, trial)
) STRICT;

CREATE TABLE IF NOT EXISTS metric (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    unit TEXT NOT NULL,
    better TEXT NOT NULL CHECK (better IN ('lower', 'higher', 'neutral')),
    is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    UNIQUE (name, unit, better, is_primary)
) STRICT;

CREATE TABLE IF NOT EXISTS sample (
    trial INTEGER NOT NULL REFERENCES trial (id),
    position INTEGER NOT NULL,      -- in the trial, in the order of recording
    metric INTEGER NOT NULL REFERENCES metric (id),
    iteration INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (trial, position),
    UNIQUE (trial, metric, iteration)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS noise (
    run TEXT NOT NULL REFERENCES run (id),
    block INTEGER NOT NULL,         -- after which it was read; 0 before the first
    taken TEXT NOT NULL,            -- ISO 8601, UTC
    seconds REAL,                   -- since the reading before; NULL for the first
    cost REAL NOT NULL,
    spins TEXT NOT NULL,            -- JSON list of objects, one a CPU
    steal REAL,
    own REAL,
    outside REAL,
    cpus INTEGER NOT NULL,
    interrupts REAL,
    pressure TEXT NOT NULL,         -- JSON object
    load REAL,
    frequency REAL,
    throttled INTEGER,
    temperature REAL,
    PRIMARY KEY (run, block)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS baseline (
    name TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    created TEXT NOT NULL,          -- ISO 8601, UTC
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS acknowledgement (
    id INTEGER PRIMARY KEY,
    suite TEXT NOT NULL,
    suite_hash TEXT NOT NULL,
    image TEXT NOT NULL,
    host_fingerprint TEXT NOT NULL,
    workload TEXT NOT NULL,
    params TEXT NOT NULL,           -- as one string, k=v,k=v
    arm TEXT NOT NULL,
    accel TEXT NOT NULL CHECK (accel IN ('none', 'kvm', 'tcg')),
    metric TEXT NOT NULL,
    run TEXT NOT NULL,              -- the first of the new level; it may have been removed since
    kind TEXT NOT NULL CHECK (kind IN ('step', 'drift')),
    ratio REAL NOT NULL,            -- the new level divided by the one before
    reason TEXT NOT NULL,
    created TEXT NOT NULL,          -- ISO 8601, UTC
    UNIQUE (suite, workload, params, arm, accel, metric, run, kind)
) STRICT;
