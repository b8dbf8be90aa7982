-- A journal of version 1: a kill, a refusal and an alert that was not finished, for Graylog that was away.
BEGIN TRANSACTION;
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    chain_id TEXT NOT NULL,
    head_seq INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    probes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO meta VALUES(1,'01a210a2-03fe-7b37-bd64-7a96a07fa633',5,'be1ff7d1445a2418a8006cd7a0a00268f237b0a71e0ee89e7a38057aba1a3661',1);
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    alert_uuid TEXT UNIQUE,
    received_at TEXT NOT NULL,
    body TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO inbox VALUES(1,'01a210a2-23fc-7844-b931-188846e3802f','00000000-0000-4000-8000-000000000001','2026-11-25T02:56:31.227904061Z','',1);
INSERT INTO inbox VALUES(2,'01a210a2-2401-7ba4-b715-eebb46739e8d','00000000-0000-4000-8000-000000000002','2026-11-25T02:56:31.233564063Z','',1);
INSERT INTO inbox VALUES(3,'019ab000-0000-7000-8000-000000000003','00000000-0000-4000-8000-000000000003','2026-11-25T02:56:31.5Z','{"rule":"unfinished"}',0);
CREATE TABLE chain (
    seq INTEGER PRIMARY KEY,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    log_type TEXT NOT NULL,
    event_id TEXT NOT NULL,
    entry_id TEXT,
    body TEXT NOT NULL
) STRICT;
INSERT INTO chain VALUES(1,'39adc1f082efbe9ad6ecae0c5770ef29864e3901de46a9a7172bfbdcb7b9924e','17897c92d809ab15db85a5c81c4799aa4785275737c393132c908bfc3e970232','falco-response-intent','01a210a2-23fc-7844-b931-188846e3802f','01a210a2-23fe-7d26-bf4c-0965973fc0bb','{"timestamp":"2026-11-25T02:56:31.232Z","event_id":"01a210a2-23fc-7844-b931-188846e3802f","entry_id":"01a210a2-23fe-7d26-bf4c-0965973fc0bb","action":"kill_pod","call":0,"verb":"delete","path":"/api/v1/namespaces/production/pods/debug","uid":"6c329ab0-f6ab-86cf-a6d3-48a9ea182b6a","dry_run":false,"plugin_sha256":"54a41cdc93ae93f722640ad509c2319cf5b6547209bc631678dd8df430c55e2b"}');
INSERT INTO chain VALUES(2,'17897c92d809ab15db85a5c81c4799aa4785275737c393132c908bfc3e970232','abe83d084e2b7ae796c61ef134d76ad5161c4bced9b4765260104445988365dd','falco-response-result','01a210a2-23fc-7844-b931-188846e3802f','01a210a2-23fe-7d26-bf4c-0965973fc0bb','{"timestamp":"2026-11-25T02:56:31.233Z","event_id":"01a210a2-23fc-7844-b931-188846e3802f","entry_id":"01a210a2-23fe-7d26-bf4c-0965973fc0bb","action":"kill_pod","call":0,"effect":"changed","detail":"","attempts":1}');
INSERT INTO chain VALUES(3,'abe83d084e2b7ae796c61ef134d76ad5161c4bced9b4765260104445988365dd','3daf1b6d757abdec78c520961d8d5f1af67e197fa4fa4344a70826244bdc8e16','falco-automated-response','01a210a2-23fc-7844-b931-188846e3802f','01a210a2-23fe-7d26-bf4c-0965973fc0bb','{"timestamp":"2026-11-25T02:56:31Z","action":"kill_pod","namespace":"production","pod":"debug","rule":"Crypto mining process detected","dry_run":false,"reason":"Crypto miner process detected by Falco; automated termination","operator":"falco-response-controller","falco_priority":"CRITICAL","falco_output":"13:44:05.478445995: Critical A shell was spawned in a container with an attached terminal (user=root user_loginuid=-1 k8s.ns=default k8s.pod=kubecon container=ee97d9c4186f shell=sh parent=runc cmdline=sh -c clear; (bash || ash || sh) terminal=34816 container_id=ee97d9c4186f image=docker.io/library/alpine)","event_id":"01a210a2-23fc-7844-b931-188846e3802f","alert_uuid":"00000000-0000-4000-8000-000000000001","entry_id":"01a210a2-23fe-7d26-bf4c-0965973fc0bb","action_id":"c61cd7af1f1f32323346fd091cdc4940","outcome":"done","failure":null,"changed":true,"detail":"delete pod","pod_uid":"6c329ab0-f6ab-86cf-a6d3-48a9ea182b6a","owner":null,"identity_proof":"name_and_time","plugin_sha256":"54a41cdc93ae93f722640ad509c2319cf5b6547209bc631678dd8df430c55e2b","config_sha256":"5768b0109fa0a2478e66a5afc2558a97aef15ee0ac332bc06ab6e5ac045e184d","cluster":"simulated","received_at":"2026-11-25T02:56:31.227Z","sent_at":"2026-11-25T02:56:31.233Z","accepted_at":"2026-11-25T02:56:31.233Z","plugin_says":"deleted pod debug"}');
INSERT INTO chain VALUES(4,'3daf1b6d757abdec78c520961d8d5f1af67e197fa4fa4344a70826244bdc8e16','ec1b03ee13cd6a98f0fb8a5256d7bb2d87b50cebcad7af21a6ccb9e9bfb7f875','falco-response-decision','01a210a2-2401-7ba4-b715-eebb46739e8d',NULL,'{"timestamp":"2026-11-25T02:56:31Z","action":"kill_pod","namespace":"kube-system","pod":"coredns-6f6b679f8f-x2vjq","rule":"Crypto mining process detected","dry_run":false,"reason":"Crypto miner process detected by Falco; automated termination","operator":"falco-response-controller","falco_priority":"CRITICAL","falco_output":"13:44:05.478445995: Critical A shell was spawned in a container with an attached terminal (user=root user_loginuid=-1 k8s.ns=default k8s.pod=kubecon container=ee97d9c4186f shell=sh parent=runc cmdline=sh -c clear; (bash || ash || sh) terminal=34816 container_id=ee97d9c4186f image=docker.io/library/alpine)","event_id":"01a210a2-2401-7ba4-b715-eebb46739e8d","alert_uuid":"00000000-0000-4000-8000-000000000002","decision":"refused","check":"kube_system","detail":"kube-system is out of reach, whatever the configuration says","config_sha256":"5768b0109fa0a2478e66a5afc2558a97aef15ee0ac332bc06ab6e5ac045e184d","cluster":"simulated","received_at":"2026-11-25T02:56:31.233Z"}');
INSERT INTO chain VALUES(5,'ec1b03ee13cd6a98f0fb8a5256d7bb2d87b50cebcad7af21a6ccb9e9bfb7f875','be1ff7d1445a2418a8006cd7a0a00268f237b0a71e0ee89e7a38057aba1a3661','falco-response-followup','01a210a2-23fc-7844-b931-188846e3802f','01a210a2-23fe-7d26-bf4c-0965973fc0bb','{"timestamp":"2026-11-25T02:56:32Z","action":"kill_pod","namespace":"production","pod":"debug","rule":"Crypto mining process detected","event_id":"01a210a2-23fc-7844-b931-188846e3802f","entry_id":"01a210a2-23fe-7d26-bf4c-0965973fc0bb","action_id":"c61cd7af1f1f32323346fd091cdc4940","followup":"gone","detail":"the pod is gone","pod_uid":"6c329ab0-f6ab-86cf-a6d3-48a9ea182b6a","node":"node-2","waited_ms":1105,"cluster":"simulated"}');
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seq INTEGER REFERENCES chain (seq),
    payload TEXT,
    settled INTEGER NOT NULL DEFAULT 0,
    given_up TEXT,
    CHECK ((seq IS NULL) <> (payload IS NULL))
) STRICT;
INSERT INTO outbox VALUES(1,'graylog','2026-11-25T02:56:31.23541935Z',3,NULL,0,NULL);
INSERT INTO outbox VALUES(2,'graylog','2026-11-25T02:56:31.235569043Z',4,NULL,0,NULL);
INSERT INTO outbox VALUES(3,'graylog','2026-11-25T02:56:32.343026703Z',5,NULL,0,NULL);
CREATE TABLE attachments (
    id INTEGER PRIMARY KEY,
    entry_id TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX inbox_unfinished ON inbox (id) WHERE finished = 0;
CREATE INDEX chain_event ON chain (event_id, seq);
CREATE INDEX chain_entry ON chain (entry_id, seq) WHERE entry_id IS NOT NULL;
CREATE INDEX outbox_waiting ON outbox (destination, id) WHERE settled = 0;
CREATE INDEX attachments_entry ON attachments (entry_id, id);
PRAGMA application_id = 1179796298;
PRAGMA user_version = 1;
COMMIT;
