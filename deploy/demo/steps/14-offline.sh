# An agent that is offline: told at once
refused kubectl --context group/app:offline get pods
says '(ServiceUnavailable): adit: agent group/app:offline'
