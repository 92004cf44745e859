# A port of a pod, forwarded to the job
begin forward kubectl port-forward deployment/hello :8080
soon grep -q 'Forwarding from 127' forward
port=$(sed -n 's/Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' forward)
curl --silent --show-error --max-time 10 "http://127.0.0.1:$port/"
kill $begun
