CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','/home/someone/mlruns/0','active',1795170572984,1795170572984,'default');
INSERT INTO "experiments" VALUES(1,'drifting','/home/someone/mlruns/1','active',1795170573009,1795170573009,'default');
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('loss',1.0,1000,'e8bcc00593b34d828a15bd167b6173dc',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1001,'e8bcc00593b34d828a15bd167b6173dc',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1002,'e8bcc00593b34d828a15bd167b6173dc',2,0);
INSERT INTO "metrics" VALUES('fid',300.0,2000,'e8bcc00593b34d828a15bd167b6173dc',400,0);
INSERT INTO "metrics" VALUES('bad',0.0,1,'e8bcc00593b34d828a15bd167b6173dc',0,1);
INSERT INTO "metrics" VALUES('bad',1.79769313486231562234e+308,1,'e8bcc00593b34d828a15bd167b6173dc',1,0);
INSERT INTO "metrics" VALUES('loss',1.0,1000,'6f84f0047e1d41bca9b353d2d8d3602b',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1001,'6f84f0047e1d41bca9b353d2d8d3602b',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1002,'6f84f0047e1d41bca9b353d2d8d3602b',2,0);
INSERT INTO "metrics" VALUES('fid',299.0,2000,'6f84f0047e1d41bca9b353d2d8d3602b',400,0);
INSERT INTO "metrics" VALUES('bad',0.0,1,'6f84f0047e1d41bca9b353d2d8d3602b',0,1);
INSERT INTO "metrics" VALUES('bad',1.79769313486231562234e+308,1,'6f84f0047e1d41bca9b353d2d8d3602b',1,0);
INSERT INTO "metrics" VALUES('fid',3.01,1795170573249,'6f84f0047e1d41bca9b353d2d8d3602b',400,0);
INSERT INTO "metrics" VALUES('fid',1.0,1795170573269,'3078bcfd79f442cc97df87e094518f29',0,0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('lr','1e-4','e8bcc00593b34d828a15bd167b6173dc');
INSERT INTO "params" VALUES('inception','pretrained','e8bcc00593b34d828a15bd167b6173dc');
INSERT INTO "params" VALUES('lr','1e-4','6f84f0047e1d41bca9b353d2d8d3602b');
INSERT INTO "params" VALUES('inception','pretrained','6f84f0047e1d41bca9b353d2d8d3602b');
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('e8bcc00593b34d828a15bd167b6173dc','r0','UNKNOWN','','','unknown','FINISHED',1795170573046,1795170573130,'','active','/home/someone/mlruns/1/e8bcc00593b34d828a15bd167b6173dc/artifacts',1,NULL);
INSERT INTO "runs" VALUES('6f84f0047e1d41bca9b353d2d8d3602b','r1','UNKNOWN','','','unknown','FINISHED',1795170573157,1795170573233,'','active','/home/someone/mlruns/1/6f84f0047e1d41bca9b353d2d8d3602b/artifacts',1,NULL);
INSERT INTO "runs" VALUES('3078bcfd79f442cc97df87e094518f29','deleted','UNKNOWN','','','unknown','RUNNING',1795170573258,NULL,'','deleted','/home/someone/mlruns/1/3078bcfd79f442cc97df87e094518f29/artifacts',1,1795170573286);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('note','hello','e8bcc00593b34d828a15bd167b6173dc');
INSERT INTO "tags" VALUES('mlflow.runName','r0','e8bcc00593b34d828a15bd167b6173dc');
INSERT INTO "tags" VALUES('note','hello','6f84f0047e1d41bca9b353d2d8d3602b');
INSERT INTO "tags" VALUES('mlflow.runName','r1','6f84f0047e1d41bca9b353d2d8d3602b');
INSERT INTO "tags" VALUES('mlflow.runName','deleted','3078bcfd79f442cc97df87e094518f29');
