# A port of a pod, forwarded to the job
kubectl port-forward deployment/hello :8080 >forward & forwarder=$!
until grep -q 'Forwarding from 127' forward; do sleep 0.05; done
port=$(sed -n 's/Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' forward)
curl --silent --show-error --max-time 10 "http://127.0.0.1:$port/"
kill $forwarder
