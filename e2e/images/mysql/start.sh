#!/bin/sh
# Makes the data where there is none, then becomes the server.
set -eu

data=/var/lib/database/data
config=/usr/local/etc/mysql.cnf
admin=$(cat /etc/database/admin/username)
superuser=$(cat /etc/database/superuser/username)

accounts() {
    echo "CREATE USER '$superuser'@'%' IDENTIFIED BY '$(cat /etc/database/superuser/password)';"
    echo "GRANT ALL PRIVILEGES ON *.* TO '$superuser'@'%' WITH GRANT OPTION;"
    # What the administrator of a managed server may do: every right on databases, to be given on; no SUPER, no SYSTEM_USER.
    echo "CREATE USER '$admin'@'%' IDENTIFIED BY '$(cat /etc/database/admin/password)';"
    echo "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER, SHOW DATABASES, CREATE USER, PROCESS ON *.* TO '$admin'@'%' WITH GRANT OPTION;"
    echo "GRANT CONNECTION_ADMIN ON *.* TO '$admin'@'%' WITH GRANT OPTION;"
}

if [ ! -d "$data" ]; then
    # Made beside its place and moved there, so that a start that was cut short begins again.
    rm -rf "$data.new"
    accounts > /run/database/accounts.sql
    mysqld --defaults-file="$config" --general-log=OFF --datadir="$data.new" --initialize-insecure --init-file=/run/database/accounts.sql
    rm /run/database/accounts.sql
    mv "$data.new" "$data"
fi

exec mysqld --defaults-file="$config" --datadir="$data"
