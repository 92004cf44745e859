# A log, followed: lines come as they are written
begin log kubectl logs --follow deployment/hello
soon [ -s log ]
kill $begun
head -n 2 log
