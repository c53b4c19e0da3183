#!/bin/sh
# Makes the bucket, which is a folder, and becomes the server.
set -eu

mkdir -p /var/lib/s3/backups
ROOT_ACCESS_KEY_ID=$(cat /etc/s3/keys/accessKeyId)
ROOT_SECRET_ACCESS_KEY=$(cat /etc/s3/keys/secretAccessKey)
export ROOT_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY

exec versitygw --port :7070 --cert /etc/s3/tls/tls.crt --key /etc/s3/tls/tls.key --health /health posix /var/lib/s3
