-- Everything that is defined in a PostgreSQL database, one line each. Names are qualified where search_path is
-- pg_catalog; the database's owner is called OWNER, so that a copy that belongs to somebody else is equal.
WITH spaces AS (
  SELECT oid, nspname AS name, nspowner AS owner, nspacl AS acl FROM pg_namespace
  WHERE nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')
), relations AS (
  SELECT c.oid::regclass::text AS name, c.* FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
), routines AS (
  SELECT p.oid::regprocedure::text AS name, p.* FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
), types AS (
  SELECT t.oid::regtype::text AS name, t.* FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
  WHERE t.typtype IN ('e', 'd', 'c') AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
), acls AS (
  SELECT 'schema ' || name AS name, owner, coalesce(acl, acldefault('n', owner)) AS acl FROM spaces
  UNION ALL
  SELECT 'relation ' || name, relowner, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM relations
  UNION ALL
  SELECT 'column ' || r.name || '.' || a.attname, r.relowner, a.attacl FROM relations r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE a.attacl IS NOT NULL
  UNION ALL
  SELECT 'routine ' || name, proowner, coalesce(proacl, acldefault('f', proowner)) FROM routines
  UNION ALL
  SELECT 'type ' || name, typowner, coalesce(typacl, acldefault('T', typowner)) FROM types
  UNION ALL
  SELECT 'large object ' || oid, lomowner, coalesce(lomacl, acldefault('L', lomowner)) FROM pg_largeobject_metadata
  UNION ALL
  SELECT 'defaults ' || coalesce(s.name, '') || d.defaclobjtype::text, d.defaclrole, d.defaclacl
    FROM pg_default_acl d LEFT JOIN spaces s ON s.oid = d.defaclnamespace
), who AS (
  SELECT oid, CASE WHEN oid = (SELECT datdba FROM pg_database WHERE datname = current_database()) THEN 'OWNER' ELSE rolname END AS name FROM pg_roles
  UNION ALL SELECT 0, 'PUBLIC'
), lines (line) AS (
  SELECT format('%s: of %s; %s', a.name, (SELECT name FROM who WHERE oid = a.owner),
    ARRAY(SELECT format('%s %s%s', w.name, x.privilege_type, CASE WHEN x.is_grantable THEN '*' END)
      FROM aclexplode(a.acl) x JOIN who w ON w.oid = x.grantee ORDER BY 1)) FROM acls a
  UNION ALL
  SELECT format('relation %s: %s %s %s %s %s %s of %s', r.name, r.relkind, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity,
    r.relreplident, r.reloptions, pg_get_partkeydef(r.oid)) FROM relations r
  UNION ALL
  SELECT format('column %s.%s: %s', r.name, (row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum)),
    json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
      nullif(a.attstattarget, -1), a.attislocal, a.attinhcount, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)))
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum WHERE r.relkind <> 'S'
  UNION ALL
  SELECT format('inherits %s: %s %s', i.inhrelid::regclass, i.inhparent::regclass, pg_get_expr(r.relpartbound, r.oid))
    FROM pg_inherits i JOIN relations r ON r.oid = i.inhrelid
  UNION ALL
  SELECT format('constraint %s %s: %s', coalesce(nullif(c.conrelid, 0)::regclass::text, c.contypid::regtype::text), c.conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c JOIN spaces s ON s.oid = c.connamespace
  UNION ALL
  SELECT format('index %s: %s %s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM pg_index i JOIN relations r ON r.oid = i.indrelid
  UNION ALL
  SELECT format('statistics %s', pg_get_statisticsobjdef(x.oid)) FROM pg_statistic_ext x
  UNION ALL
  SELECT format('view %s: %s %s', r.name, r.relispopulated, pg_get_viewdef(r.oid)) FROM relations r WHERE r.relkind IN ('v', 'm')
  UNION ALL
  SELECT format('rule %s', pg_get_ruledef(w.oid)) FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
  UNION ALL
  SELECT format('trigger %s %s', pg_get_triggerdef(g.oid), g.tgenabled) FROM pg_trigger g JOIN relations r ON r.oid = g.tgrelid WHERE NOT g.tgisinternal
  UNION ALL
  SELECT format('policy %s', json_build_array(p.schemaname, p.tablename, p.policyname, p.permissive, p.roles, p.cmd, p.qual, p.with_check)) FROM pg_policies p
  UNION ALL
  SELECT format('routine %s: %s', r.name, CASE WHEN r.prokind = 'a' THEN (SELECT json_build_array(a.aggtransfn, a.aggfinalfn, a.aggtranstype::regtype, a.agginitval)::text
    FROM pg_aggregate a WHERE a.aggfnoid = r.oid) ELSE pg_get_functiondef(r.oid) END) FROM routines r
  UNION ALL
  SELECT format('operator %s: %s', o.oid::regoperator, o.oprcode) FROM pg_operator o JOIN spaces s ON s.oid = o.oprnamespace
  UNION ALL
  SELECT format('type %s: %s', t.name, json_build_array(t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault,
    ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
    ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)))
    FROM types t
  UNION ALL
  SELECT format('sequence %s: %s', q.seqrelid::regclass, json_build_array(q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle,
    (SELECT d.refobjid::regclass || '.' || d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = q.seqrelid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass)))
    FROM pg_sequence q JOIN relations r ON r.oid = q.seqrelid
  UNION ALL
  SELECT format('comment on %s: %s', coalesce(i.type || ' ' || i.identity, ''), d.description)
    FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
    WHERE i.schema IN (SELECT name FROM spaces) OR d.classoid = 'pg_largeobject'::regclass
  UNION ALL
  SELECT format('extension %s %s', extname, extversion) FROM pg_extension
)
SELECT line FROM lines
