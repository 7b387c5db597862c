-- The log of a daemon of the first release (schema version 1), as it lay there after `kill -9`: three
-- ended runs, one that was executing, one that waits, and a queue that is paused. Made by running
-- that release; only names of folders were changed.
PRAGMA application_id = 1349415796;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE asks (
    run INTEGER NOT NULL, name TEXT NOT NULL, question TEXT NOT NULL, choices TEXT NOT NULL,
    default_answer TEXT, expires_at INTEGER, state TEXT NOT NULL, answer TEXT, answered_by TEXT,
    raised_at INTEGER NOT NULL, PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE events (
    position INTEGER PRIMARY KEY, run INTEGER NOT NULL, sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, type TEXT NOT NULL, clock TEXT NOT NULL,
    causation BLOB, code_version INTEGER NOT NULL, body BLOB NOT NULL
);
INSERT INTO "events" VALUES(1,0,1,X'01A224487BE877909B54349599509821',1795905059816422,'daemon.started','{"vm/74b5312cd0d699f3":1}',NULL,0,CAST('{"type":"daemon.started","version":"0.1.0","life":"vm/74b5312cd0d699f3","requeued":[],"failed":[],"cancelled":[],"asked":[],"ended_pids":[]}' AS BLOB));
INSERT INTO "events" VALUES(2,1,1,X'01A22448931973479B2AB6C4846E716E',1795905065753742,'run.queued','{"vm/74b5312cd0d699f3":2}',NULL,0,CAST('{"type":"run.queued","kind":"command","priority":20,"inputs":{"argv":["sh","-c","echo hello; echo oops >&2"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"labels":{},"after":[],"group":null,"timeout":null,"parent_id":null,"retry_of":null}' AS BLOB));
INSERT INTO "events" VALUES(3,1,2,X'01A22448934778B9AA8A4E74731F84FD',1795905065753980,'run.started','{"vm/74b5312cd0d699f3":3}',NULL,0,CAST('{"type":"run.started","kind":"command","inputs":{"argv":["sh","-c","echo hello; echo oops >&2"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"attempt":1}' AS BLOB));
INSERT INTO "events" VALUES(4,1,3,X'01A22448940078E980948F81FD32B217',1795905065984896,'process.started','{"vm/74b5312cd0d699f3":4}',NULL,0,CAST('{"type":"process.started","pid":29049,"start_time":1224653,"boot_id":"00000000-0000-4000-8000-000000000000","method":"subreaper","cgroup":null,"argv":["sh","-c","echo hello; echo oops >&2"]}' AS BLOB));
INSERT INTO "events" VALUES(5,1,4,X'01A224489408767D8357C69526E91D1A',1795905065992015,'log','{"vm/74b5312cd0d699f3":5}',NULL,0,CAST('{"type":"log","text":"hello\n","stream":"stdout"}' AS BLOB));
INSERT INTO "events" VALUES(6,1,5,X'01A2244894147EBC94592CC8025F6516',1795905066004079,'log','{"vm/74b5312cd0d699f3":6}',NULL,0,CAST('{"type":"log","text":"oops\n","stream":"stderr"}' AS BLOB));
INSERT INTO "events" VALUES(7,1,6,X'01A22448941E7734B5C7B5E93DE512E9',1795905066014855,'process.exited','{"vm/74b5312cd0d699f3":7}',NULL,0,CAST('{"type":"process.exited","pid":29049,"exit_code":0,"signal":null,"leftover":0,"survivors":[]}' AS BLOB));
INSERT INTO "events" VALUES(8,1,7,X'01A224489421737DB154176E0CAE644F',1795905066017332,'run.completed','{"vm/74b5312cd0d699f3":8}',NULL,0,CAST('{"type":"run.completed","result":{"exit_code":0}}' AS BLOB));
INSERT INTO "events" VALUES(9,2,1,X'01A224489A3B7D04BDAEBADC567952EF',1795905067579439,'run.queued','{"vm/74b5312cd0d699f3":9}',NULL,0,CAST('{"type":"run.queued","kind":"command","priority":20,"inputs":{"argv":["sh","-c","echo no; exit 3"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"labels":{},"after":[],"group":null,"timeout":null,"parent_id":null,"retry_of":null}' AS BLOB));
INSERT INTO "events" VALUES(10,2,2,X'01A224489A3C73F58E018EBEB1F947D7',1795905067579557,'run.started','{"vm/74b5312cd0d699f3":10}',NULL,0,CAST('{"type":"run.started","kind":"command","inputs":{"argv":["sh","-c","echo no; exit 3"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"attempt":1}' AS BLOB));
INSERT INTO "events" VALUES(11,2,3,X'01A224489AAF7475971CB32AF7FE3B74',1795905067695376,'process.started','{"vm/74b5312cd0d699f3":11}',NULL,0,CAST('{"type":"process.started","pid":29066,"start_time":1224824,"boot_id":"00000000-0000-4000-8000-000000000000","method":"subreaper","cgroup":null,"argv":["sh","-c","echo no; exit 3"]}' AS BLOB));
INSERT INTO "events" VALUES(12,2,4,X'01A224489AB77EE9BF50692E64FB719F',1795905067703872,'log','{"vm/74b5312cd0d699f3":12}',NULL,0,CAST('{"type":"log","text":"no\n","stream":"stdout"}' AS BLOB));
INSERT INTO "events" VALUES(13,2,5,X'01A224489AC5772BA27333E9F4D995A3',1795905067717304,'process.exited','{"vm/74b5312cd0d699f3":13}',NULL,0,CAST('{"type":"process.exited","pid":29066,"exit_code":3,"signal":null,"leftover":0,"survivors":[]}' AS BLOB));
INSERT INTO "events" VALUES(14,2,6,X'01A224489AD078D580141D46ECA5445D',1795905067727998,'run.failed','{"vm/74b5312cd0d699f3":14}',NULL,0,CAST('{"type":"run.failed","reason":"error","error":"exit status 3","details":{"exit_code":3,"signal":null}}' AS BLOB));
INSERT INTO "events" VALUES(15,3,1,X'01A22448A05179219B11744C901EE873',1795905069137569,'run.queued','{"vm/74b5312cd0d699f3":15}',NULL,0,CAST('{"type":"run.queued","kind":"command","priority":20,"inputs":{"argv":["sleep","100"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"labels":{},"after":[],"group":null,"timeout":null,"parent_id":null,"retry_of":null}' AS BLOB));
INSERT INTO "events" VALUES(16,3,2,X'01A22448A0527C3E96EC313F3C6FD1B3',1795905069137658,'run.started','{"vm/74b5312cd0d699f3":16}',NULL,0,CAST('{"type":"run.started","kind":"command","inputs":{"argv":["sleep","100"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"attempt":1}' AS BLOB));
INSERT INTO "events" VALUES(17,3,3,X'01A22448A0B773EBB87047FA221755FD',1795905069239474,'process.started','{"vm/74b5312cd0d699f3":17}',NULL,0,CAST('{"type":"process.started","pid":29072,"start_time":1224980,"boot_id":"00000000-0000-4000-8000-000000000000","method":"subreaper","cgroup":null,"argv":["sleep","100"]}' AS BLOB));
INSERT INTO "events" VALUES(18,3,4,X'01A22448ABA5758BA22D8AE86F6B8F04',1795905072028668,'run.cancel_requested','{"vm/74b5312cd0d699f3":18}',NULL,0,CAST('{"type":"run.cancel_requested","reason":"requested"}' AS BLOB));
INSERT INTO "events" VALUES(19,3,5,X'01A22448ABB5700CB88633BBDF6A2111',1795905072053828,'run.cancelled','{"vm/74b5312cd0d699f3":19}',NULL,0,CAST('{"type":"run.cancelled","reason":"requested","details":{"receipt":{"method":"subreaper","pids":[29072],"survivors":[]}}}' AS BLOB));
INSERT INTO "events" VALUES(20,4,1,X'01A22448B1BB7D6FACB0F686732A34DC',1795905073595293,'run.queued','{"vm/74b5312cd0d699f3":20}',NULL,0,CAST('{"type":"run.queued","kind":"command","priority":20,"inputs":{"argv":["sleep","300"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"labels":{},"after":[],"group":null,"timeout":null,"parent_id":null,"retry_of":null}' AS BLOB));
INSERT INTO "events" VALUES(21,4,2,X'01A22448B1BC716591881857B0CABE65',1795905073595411,'run.started','{"vm/74b5312cd0d699f3":21}',NULL,0,CAST('{"type":"run.started","kind":"command","inputs":{"argv":["sleep","300"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"attempt":1}' AS BLOB));
INSERT INTO "events" VALUES(22,4,3,X'01A22448B2197770A7F37DE63F87EA11',1795905073689448,'process.started','{"vm/74b5312cd0d699f3":22}',NULL,0,CAST('{"type":"process.started","pid":29113,"start_time":1225424,"boot_id":"00000000-0000-4000-8000-000000000000","method":"subreaper","cgroup":null,"argv":["sleep","300"]}' AS BLOB));
INSERT INTO "events" VALUES(23,0,2,X'01A22448BB1F7766B84639B89B984FB5',1795905075996568,'queue.paused','{"vm/74b5312cd0d699f3":23}',NULL,0,CAST('{"type":"queue.paused","group":null,"reason":""}' AS BLOB));
INSERT INTO "events" VALUES(24,5,1,X'01A22448C1937162B97FA99785DD5EA3',1795905077651535,'run.queued','{"vm/74b5312cd0d699f3":24}',NULL,0,CAST('{"type":"run.queued","kind":"command","priority":20,"inputs":{"argv":["true"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]},"labels":{},"after":[],"group":null,"timeout":null,"parent_id":null,"retry_of":null}' AS BLOB));
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','056975ea-ead9-4ccb-87ff-b83aff6ef62a');
INSERT INTO "meta" VALUES('floor',1);
INSERT INTO "meta" VALUES('head',24);
CREATE TABLE pauses (name TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "pauses" VALUES('','',1795905075996568);
CREATE TABLE prerequisites (
    prerequisite INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (prerequisite, run)
) WITHOUT ROWID;
CREATE TABLE runs (
    key INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    priority INTEGER NOT NULL, place INTEGER NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', life TEXT, token INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0, group_name TEXT, parent_id TEXT, root_id TEXT NOT NULL,
    depth INTEGER NOT NULL, retry_of TEXT, open_prerequisites INTEGER NOT NULL DEFAULT 0,
    timeout REAL, used_seconds REAL NOT NULL DEFAULT 0, code_version INTEGER NOT NULL DEFAULT -1,
    cancel_requested TEXT, wants_slot INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0, last_position INTEGER NOT NULL DEFAULT 0,
    clock TEXT NOT NULL DEFAULT '{}', host TEXT NOT NULL DEFAULT '', on_restart TEXT NOT NULL,
    preemptible INTEGER NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER,
    ended_at INTEGER, outcome TEXT
);
INSERT INTO "runs" VALUES(0,'daemon','',0,0,'','',NULL,0,0,NULL,NULL,'daemon',0,NULL,0,NULL,0.0,-1,NULL,0,2,23,'{"vm/74b5312cd0d699f3":23}','','fail',0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(1,'done','command',20,2,'completed','',NULL,1,1,NULL,NULL,'done',0,NULL,0,NULL,1.94268749008188024163e-01,-1,NULL,0,7,8,'{"vm/74b5312cd0d699f3":8}','vm','fail',0,1795905065753742,1795905065753980,1795905066017332,'{"result":{"exit_code":0}}');
INSERT INTO "runs" VALUES(2,'failed','command',20,9,'failed','error',NULL,1,1,NULL,NULL,'failed',0,NULL,0,NULL,1.39855785004328936338e-01,-1,NULL,0,6,14,'{"vm/74b5312cd0d699f3":14}','vm','fail',0,1795905067579439,1795905067579557,1795905067727998,'{"reason":"error","error":"exit status 3","details":{"exit_code":3,"signal":null}}');
INSERT INTO "runs" VALUES(3,'cancelled','command',20,15,'cancelled','requested',NULL,1,1,NULL,NULL,'cancelled',0,NULL,0,NULL,2.9055236120184417814e+00,-1,'requested',0,5,19,'{"vm/74b5312cd0d699f3":19}','vm','fail',0,1795905069137569,1795905069137658,1795905072053828,'{"reason":"requested","details":{"receipt":{"method":"subreaper","pids":[29072],"survivors":[]}}}');
INSERT INTO "runs" VALUES(4,'left','command',20,20,'running','','vm/74b5312cd0d699f3',1,1,NULL,NULL,'left',0,NULL,0,NULL,0.0,-1,NULL,0,3,22,'{"vm/74b5312cd0d699f3":22}','vm','fail',0,1795905073595293,1795905073595411,NULL,NULL);
INSERT INTO "runs" VALUES(5,'queued','command',20,24,'queued','',NULL,0,0,NULL,NULL,'queued',0,NULL,0,NULL,0.0,-1,NULL,0,1,24,'{"vm/74b5312cd0d699f3":24}','','fail',0,1795905077651535,NULL,NULL,NULL);
CREATE TABLE specs (
    key INTEGER PRIMARY KEY, digest BLOB NOT NULL, inputs BLOB NOT NULL, shown TEXT NOT NULL,
    labels TEXT NOT NULL, after TEXT NOT NULL
);
INSERT INTO "specs" VALUES(1,X'96866392473EEA5B342B23BEBD6D292C28B602C9928E507F0B172EC4A58539AE',CAST('{"argv":["sh","-c","echo hello; echo oops >&2"],"cwd":"/home/dev/project","env":{"HOME":"/home/dev","LC_CTYPE":"C.UTF-8","PATH":"/usr/bin:/bin"},"exit_codes_ok":[0],"shell":null}' AS BLOB),'{"argv":["sh","-c","echo hello; echo oops >&2"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]}','{}','[]');
INSERT INTO "specs" VALUES(2,X'59CE03AECE693AC0372FBDB98ED16938BD3E1871626EBEA11BAA59A2FE2734F3',CAST('{"argv":["sh","-c","echo no; exit 3"],"cwd":"/home/dev/project","env":{"HOME":"/home/dev","LC_CTYPE":"C.UTF-8","PATH":"/usr/bin:/bin"},"exit_codes_ok":[0],"shell":null}' AS BLOB),'{"argv":["sh","-c","echo no; exit 3"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]}','{}','[]');
INSERT INTO "specs" VALUES(3,X'2C04A360ABBF8272C9E4B7B674F13FB52C04D171240FA6E5B756A33251BFC8FA',CAST('{"argv":["sleep","100"],"cwd":"/home/dev/project","env":{"HOME":"/home/dev","LC_CTYPE":"C.UTF-8","PATH":"/usr/bin:/bin"},"exit_codes_ok":[0],"shell":null}' AS BLOB),'{"argv":["sleep","100"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]}','{}','[]');
INSERT INTO "specs" VALUES(4,X'F276DFEA8BD2D4690B79F90C1D5D959BC4AC972266270D47911394218A5D4005',CAST('{"argv":["sleep","300"],"cwd":"/home/dev/project","env":{"HOME":"/home/dev","LC_CTYPE":"C.UTF-8","PATH":"/usr/bin:/bin"},"exit_codes_ok":[0],"shell":null}' AS BLOB),'{"argv":["sleep","300"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]}','{}','[]');
INSERT INTO "specs" VALUES(5,X'182DA6349E0BEBF8ECCBF0E97A18305691209977EDECA694772321D9FA450AC1',CAST('{"argv":["true"],"cwd":"/home/dev/project","env":{"HOME":"/home/dev","LC_CTYPE":"C.UTF-8","PATH":"/usr/bin:/bin"},"exit_codes_ok":[0],"shell":null}' AS BLOB),'{"argv":["true"],"shell":null,"cwd":"/home/dev/project","env":{"HOME":"…","LC_CTYPE":"…","PATH":"…"},"exit_codes_ok":[0]}','{}','[]');
CREATE TABLE tombstones (
    run_id TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_in_line ON runs(priority, place) WHERE state IN ('queued', 'preempted');
CREATE INDEX runs_state ON runs(state) WHERE ended_at IS NULL;
CREATE INDEX runs_ended ON runs(ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_open ON runs(place) WHERE ended_at IS NULL;
CREATE INDEX runs_place ON runs(place);
CREATE INDEX runs_parent ON runs(parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX runs_root ON runs(root_id);
CREATE INDEX events_run ON events(run);
CREATE INDEX asks_open ON asks(run) WHERE state = 'open';
COMMIT;
