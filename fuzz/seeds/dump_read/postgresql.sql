-- PostgreSQL database dump
\restrict abc
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public."T 1" (
    id bigint NOT NULL,
    key text,
    at timestamp with time zone,
    b bytea,
    n numeric(10,2)[],
    two integer GENERATED ALWAYS AS ((id * 2)) STORED
);
COPY public."T 1" (id, key, at, b, n) FROM stdin;
1	a\tb\\	2026-11-21 12:30:00+01	\\x00ff	{1.00,NULL}
2	\N	\N	\N	\N
\.
INSERT INTO public."T 1" (id, key, at, b, n) VALUES (3, 'it''s', NULL, '\x', NULL) ON CONFLICT DO NOTHING;
CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;
CREATE FUNCTION public.g() RETURNS text LANGUAGE sql AS $_$ SELECT ';' $_$;
ALTER TABLE ONLY public."T 1" ADD CONSTRAINT "T 1_pkey" PRIMARY KEY (id);
-- PostgreSQL database dump complete
