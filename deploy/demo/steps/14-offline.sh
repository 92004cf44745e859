# An agent that is offline: told at once
refused kubectl --context group/app:offline get pods
grep --quiet '(ServiceUnavailable): adit: agent group/app:offline' said
