# A log, followed: lines come as they are written
kubectl logs --follow deployment/hello >log & follower=$!
until [ -s log ]; do sleep 0.05; done
kill $follower
head -n 2 log
