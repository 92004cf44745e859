# Agents that are offline, one since it left, one that never came: told at once
refused kubectl --context group/app:left get pods
says '(ServiceUnavailable): adit: agent group/app:left has been offline since 20'
refused kubectl --context group/app:offline get pods
says '(ServiceUnavailable): adit: agent group/app:offline has not connected'
